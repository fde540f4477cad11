"""`python -m services.pipelinegateway`: run one pipeline gateway until SIGTERM or SIGINT."""

from services.pipelinegateway.settings import PipelineGatewaySettings
from shared.process import run_busy_service, stop_requested


async def _run(settings: PipelineGatewaySettings) -> None:
    # Here, because processes for large messages import this module, too, and need none of it.
    from services.pipelinegateway.app import run

    await run(settings, stop_requested())


def main() -> None:
    settings = PipelineGatewaySettings.load()
    run_busy_service("pipelinegateway", settings.log_level, _run(settings), ignored=settings.ignored)


if __name__ == "__main__":
    main()
