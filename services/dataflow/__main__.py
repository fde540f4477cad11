"""`python -m services.dataflow`: run one dataflow engine until SIGTERM or SIGINT."""

import sys

import uvloop

from services.dataflow.app import run
from services.dataflow.settings import DataflowSettings
from shared.errors import SeldonError
from shared.garbage import collect_rarely
from shared.logs import configure, logger


def main() -> None:
    settings = DataflowSettings.load()
    configure("dataflow", settings.log_level)
    collect_rarely()
    try:
        uvloop.run(run(settings))
    except (SeldonError, OSError) as error:
        logger("app").error("ended", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
