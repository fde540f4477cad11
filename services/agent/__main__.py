"""`python -m services.agent`: run one agent until SIGTERM or SIGINT."""

import sys

import uvloop

from services.agent.app import Agent
from services.agent.settings import AgentSettings
from shared.errors import SeldonError
from shared.logs import configure
from shared.process import until_stopped


async def _run(settings: AgentSettings) -> None:
    await until_stopped(Agent(settings).run())


def main() -> None:
    settings = AgentSettings.load()
    configure("agent", settings.log_level)
    try:
        uvloop.run(_run(settings))
    except (SeldonError, OSError) as error:
        sys.exit(f"agent cannot start: {error}")


if __name__ == "__main__":
    main()
