"""`python -m services.agent`: run one agent until SIGTERM or SIGINT."""

from services.agent.app import Agent
from services.agent.settings import AgentSettings
from shared.process import run_service, until_stopped


async def _run(settings: AgentSettings) -> None:
    await until_stopped(Agent(settings).run())


def main() -> None:
    settings = AgentSettings.load()
    run_service("agent", settings.log_level, _run(settings), ignored=settings.ignored)


if __name__ == "__main__":
    main()
