"""`python -m services.hodometer_receiver`."""

import uvloop

from services.hodometer_receiver.app import run
from services.hodometer_receiver.settings import ReceiverSettings
from shared import logs


def main() -> None:
    settings = ReceiverSettings.load()
    logs.configure("hodometer-receiver", settings.log_level)
    uvloop.run(run(settings))


if __name__ == "__main__":
    main()
