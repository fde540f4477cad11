"""A Pushgateway for each user, as parts: jobs push to them, and Prometheus reads them. No other part needs them."""

from typing import Final

from compose.process.common import url
from compose.process.home import Home
from compose.process.program import Program
from compose.process.settings import Settings
from compose.prometheus.install import PUSHGATEWAY, find

USERS: Final = ("alice", "bob")


def programs(settings: Settings, home: Home) -> tuple[Program, ...]:
    """None without the profile `pushgateways`, and on a machine without a Pushgateway."""
    found = find(PUSHGATEWAY, home) if settings.has("pushgateways") else None
    return tuple(_pushgateway(found, user, settings, home) for user in USERS) if found else ()


def _pushgateway(found: str, user: str, settings: Settings, home: Home) -> Program:
    port = settings.port(f"PUSHGATEWAY_{user.upper()}_PORT")
    bound = f"[{settings.bind_host}]" if ":" in settings.bind_host else settings.bind_host
    return Program(
        name=f"pushgateway-{user}",
        command=(
            found,
            f"--web.listen-address={bound}:{port}",
            # A job that ended does not push again, so what it said has to outlive a restart.
            f"--persistence.file={home.data / f'pushgateway-{user}'}",
        ),
        directory=home.root,
        ready_url=url(settings, port, "/-/ready"),
        ports=(port,),
    )
