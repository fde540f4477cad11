"""`python -m services.v1gateway`: run one version 1 gateway until SIGTERM or SIGINT."""

from services.v1gateway.app import run
from services.v1gateway.settings import V1GatewaySettings
from shared.process import run_busy_service, stop_requested


async def _run(settings: V1GatewaySettings) -> None:
    await run(settings, stop_requested())


def main() -> None:
    settings = V1GatewaySettings.load()
    run_busy_service("v1gateway", settings.log_level, _run(settings))


if __name__ == "__main__":
    main()
