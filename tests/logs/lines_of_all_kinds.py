"""A process that says something in every way there is, for the test that reads its lines."""

import asyncio
import logging
import sys
import warnings

from shared.errors import Unavailable
from shared.logs import LEVELS, logger
from shared.process import run_service


async def _forgotten() -> None:
    raise ValueError("nobody waits for this one")


async def _work(end: str) -> None:
    log = logger("app")
    log.debug("not wanted")
    log.info("started", port=1, folder=object)
    LEVELS.change({"components": {"app": "debug"}})
    log.debug("wanted now")
    logger("kafka").debug("not wanted here")
    logging.getLogger("uvicorn.error").warning("from %s", "uvicorn")
    logging.getLogger("uvicorn.access").info("not wanted")
    logging.getLogger("aiokafka.conn").debug("password")
    logging.getLogger("somebody.else").error("from a library that nobody listed")
    for attempt in range(1000):
        logging.getLogger("aiokafka").error("no broker, attempt %s", attempt)
    warnings.warn("of Python itself", stacklevel=1)
    task = asyncio.create_task(_forgotten())
    await asyncio.wait([task])
    del task
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    raise Unavailable("no such peer") if end == "known" else KeyError("surprise")


run_service("tester", "info", _work(sys.argv[1]))
