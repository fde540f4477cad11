"""`python -m services.scheduler`."""

from services.scheduler.app import run
from services.scheduler.settings import SchedulerSettings
from shared.process import run_service


def main() -> None:
    settings = SchedulerSettings.load()
    run_service("scheduler", settings.log_level, run(settings), ignored=settings.ignored)


if __name__ == "__main__":
    main()
