"""`python -m services.modelgateway`: run one model gateway until SIGTERM or SIGINT."""

from services.modelgateway.settings import ModelGatewaySettings
from shared.process import run_busy_service


def main() -> None:
    # Here, because processes for large messages import this module, too, and need none of it.
    from services.modelgateway.app import run

    settings = ModelGatewaySettings.load()
    run_busy_service("modelgateway", settings.log_level, run(settings), ignored=settings.ignored)


if __name__ == "__main__":
    main()
