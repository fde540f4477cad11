"""`python -m services.hodometer`."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping

import uvloop

from services.hodometer.app import run
from services.hodometer.scheduler_calls import read_credentials
from services.hodometer.settings import HodometerSettings, settings_of
from services.hodometer.variables import InvalidSettings, Problem
from shared import logs


def main() -> None:
    try:
        settings = load(os.environ)
    except InvalidSettings as error:
        logs.configure("hodometer", "info")
        for problem in error.problems:
            logs.logger("settings").error(problem.message, setting=problem.setting, fix=problem.fix)
        raise SystemExit(2) from None
    logs.configure("hodometer", settings.log_level)
    uvloop.run(until_stopped(settings))


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


async def until_stopped(settings: HodometerSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    running = asyncio.create_task(run(settings, os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    main()
