"""`python -m services.pipelinegateway`: run one pipeline gateway until SIGTERM or SIGINT."""

import asyncio
import signal

from services.pipelinegateway.app import run
from services.pipelinegateway.settings import PipelineGatewaySettings
from shared.process import run_busy_service


async def _run(settings: PipelineGatewaySettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await run(settings, stopping)


def main() -> None:
    settings = PipelineGatewaySettings.load()
    run_busy_service("pipelinegateway", settings.log_level, _run(settings))


if __name__ == "__main__":
    main()
