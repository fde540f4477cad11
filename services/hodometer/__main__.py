"""`python -m services.hodometer`."""

import os
from collections.abc import Mapping

from services.hodometer import options
from services.hodometer.app import run
from services.hodometer.core.variables import InvalidSettings, Problem
from services.hodometer.scheduler_calls import read_credentials
from services.hodometer.settings import HodometerSettings, settings_of
from shared.logs import configure, logger
from shared.process import run_service, until_stopped


def main() -> None:
    options.parse()
    try:
        settings = load(os.environ)
    except InvalidSettings as error:
        configure("hodometer", "info")
        for problem in error.problems:
            logger("settings").error(problem.message, setting=problem.setting, fix=problem.fix)
        raise SystemExit(2) from None
    run_service("hodometer", settings.log_level, until_stopped(run(settings, os.environ)))


def load(environment: Mapping[str, str]) -> HodometerSettings:
    """Raises InvalidSettings, also when a certificate cannot be read."""
    settings = settings_of(environment)
    if settings.tls is not None:
        try:
            read_credentials(settings.tls)
        except OSError as error:
            fix = "check the CONTROL_PLANE_*_TLS_*_LOCATION variables; certificates have to be mounted as files"
            raise InvalidSettings([Problem("CONTROL_PLANE_SECURITY_PROTOCOL", str(error), fix)]) from None
    return settings


if __name__ == "__main__":
    main()
