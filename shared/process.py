"""The life of a service's process: logs, event loop, signals, and how it ends."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final

import uvloop

from shared.errors import SeldonError
from shared.logs import configure, logger

_log = logger("process")

_RARELY: Final = (100_000, 50, 100)
"""Allocations between garbage collections of each generation."""


def collect_rarely() -> None:
    """Requests in flight are many objects, none of them in a cycle: looking through them again and again takes up to a
    third of the processor time. What the start made is never looked at again."""
    gc.freeze()
    gc.set_threshold(*_RARELY)


def stop_requested() -> asyncio.Event:
    """Set at SIGTERM or SIGINT; for services that end in an order of their own. Needs the running loop."""
    stopping = asyncio.Event()
    _at_the_end(stopping.set)
    return stopping


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, and cancel it at SIGTERM or SIGINT. Raises what it raises."""
    working = asyncio.ensure_future(work)
    _at_the_end(working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working


def _at_the_end(react: Callable[[], object]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, react)


def run_service(
    name: str,
    log_level: str,
    work: Coroutine[Any, Any, None],
    kafka_log_level: str = "",
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run a service to its end; exits with 1 and a line in the log when it fails.

    `ignored` are settings that were passed and have no effect, with the reason: each is said in the log.
    """
    configure(name, log_level, kafka_log_level)
    for setting, reason in ignored.items():
        _log.info("setting without effect", setting=setting, reason=reason)
    try:
        uvloop.run(work)
    except (SeldonError, OSError) as error:
        _log.critical("ended", reason=str(error))
        sys.exit(1)
    except Exception:
        _log.critical("ended by something unforeseen", exc_info=True)
        sys.exit(1)


def run_busy_service(
    name: str,
    log_level: str,
    work: Coroutine[Any, Any, None],
    kafka_log_level: str = "",
    ignored: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """As `run_service`, for one with many requests in flight."""
    collect_rarely()
    run_service(name, log_level, work, kafka_log_level, ignored)
