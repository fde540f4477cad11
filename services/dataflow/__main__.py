"""`python -m services.dataflow`: run one dataflow engine until SIGTERM or SIGINT."""

import gc
import sys
from typing import Final

import uvloop

from services.dataflow.app import run
from services.dataflow.settings import DataflowSettings
from shared.errors import SeldonError
from shared.logs import configure, logger

_RARELY: Final = (100_000, 50, 100)
"""Allocations between collections. Requests in flight are many objects, none of them in a cycle: looking through them
again and again takes a third of the time that a join does."""


def main() -> None:
    settings = DataflowSettings.load()
    configure("dataflow", settings.log_level)
    gc.freeze()
    gc.set_threshold(*_RARELY)
    try:
        uvloop.run(run(settings))
    except (SeldonError, OSError) as error:
        logger("app").error("ended", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
