"""`python -m services.scheduler`."""

import uvloop

from services.scheduler.app import run
from services.scheduler.settings import SchedulerSettings
from shared import logs


def main() -> None:
    settings = SchedulerSettings.load()
    logs.configure("scheduler", settings.log_level)
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
