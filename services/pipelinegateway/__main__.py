"""`python -m services.pipelinegateway`: run one pipeline gateway until SIGTERM or SIGINT."""

import asyncio
import signal
import sys

import uvloop

from services.pipelinegateway.app import PipelineGateway
from services.pipelinegateway.settings import PipelineGatewaySettings
from shared.errors import SeldonError
from shared.logs import configure
from shared.process import collect_rarely


async def _run(settings: PipelineGatewaySettings) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await PipelineGateway(settings).run(stopping)


def main() -> None:
    settings = PipelineGatewaySettings.load()
    configure("pipelinegateway", settings.log_level)
    collect_rarely()
    try:
        uvloop.run(_run(settings))
    except (SeldonError, OSError) as error:
        sys.exit(f"pipeline gateway stops: {error}")


if __name__ == "__main__":
    main()
