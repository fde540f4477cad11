"""`python -m services.dataflow`: run one dataflow engine until SIGTERM or SIGINT."""

from services.dataflow.app import run
from services.dataflow.settings import DataflowSettings
from shared.process import run_busy_service


def main() -> None:
    settings = DataflowSettings.load()
    run_busy_service("dataflow", settings.log_level, run(settings), settings.kafka_log_level, ignored=settings.ignored)


if __name__ == "__main__":
    main()
