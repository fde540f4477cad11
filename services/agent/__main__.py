"""`python -m services.agent`: run one agent until SIGTERM or SIGINT."""

import asyncio
import signal
import sys

import uvloop

from services.agent.app import Agent
from services.agent.settings import AgentSettings
from shared.errors import SeldonError
from shared.logs import configure


async def _run(settings: AgentSettings) -> None:
    agent = asyncio.create_task(Agent(settings).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.cancel)
    try:
        await agent
    except asyncio.CancelledError:
        return


def main() -> None:
    settings = AgentSettings.load()
    configure("agent", settings.log_level)
    try:
        uvloop.run(_run(settings))
    except (SeldonError, OSError) as error:
        sys.exit(f"agent cannot start: {error}")


if __name__ == "__main__":
    main()
