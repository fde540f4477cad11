"""`python -m services.hodometer_receiver`."""

from services.hodometer_receiver.app import run
from services.hodometer_receiver.settings import ReceiverSettings
from shared.process import run_service


def main() -> None:
    settings = ReceiverSettings.load()
    run_service("hodometer-receiver", settings.log_level, run(settings))


if __name__ == "__main__":
    main()
