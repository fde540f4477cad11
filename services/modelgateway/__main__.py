"""`python -m services.modelgateway`: run one model gateway until SIGTERM or SIGINT."""

import sys

import uvloop

from services.modelgateway.app import run
from services.modelgateway.settings import ModelGatewaySettings
from shared.errors import SeldonError
from shared.garbage import collect_rarely
from shared.logs import configure, logger


def main() -> None:
    settings = ModelGatewaySettings.load()
    configure("modelgateway", settings.log_level)
    collect_rarely()
    try:
        uvloop.run(run(settings))
    except (SeldonError, OSError) as error:
        logger("app").error("ended", reason=str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
