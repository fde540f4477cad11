"""Version 1: the gateway as a part, and what MLServer needs to serve version 1 classes."""

from typing import Final

from compose.process.common import digest, our_code, url
from compose.process.home import REPOSITORY, Home
from compose.process.program import Program
from compose.process.settings import Settings

MLSERVER: Final = ("-m", "seldon_v1")
"""MLServer started by the package that adds the runtime, which first opens the page with the classes' metrics."""
METRICS_PORT: Final = "SERVER_MLSERVER_V1_METRICS_PORT"
_RUNTIME: Final = REPOSITORY / "compose" / "mlserver"


def programs(settings: Settings, home: Home) -> tuple[Program, ...]:
    """None of them without the profile `v1`."""
    return (_gateway(settings, home),) if settings.has("v1") else ()


def runtime(settings: Settings) -> dict[str, str]:
    """What MLServer is told, whether or not there is a gateway: the classes answer without it, too."""
    return {
        "PYTHONPATH": str(_RUNTIME),
        "SELDON_V1_METRICS_HOST": settings.bind_host,
        "SELDON_V1_METRICS_PORT": settings[METRICS_PORT],
        # A change of it has to start MLServer again.
        "SELDON_V1_RUNTIME": digest(*sorted(_RUNTIME.rglob("*.py"))),
    }


def envoy_values(settings: Settings) -> dict[str, str]:
    """Where Envoy finds the gateway, whether or not there is one."""
    return {"V1_GATEWAY_HOST": settings.host}


def _gateway(settings: Settings, home: Home) -> Program:
    ports = {name: settings.port(name) for name in ("V1_GATEWAY_HTTP_PORT", "V1_GATEWAY_GRPC_PORT")}
    return Program(
        name="v1gateway",
        command=(str(home.python("main")), "-m", "services.v1gateway"),
        directory=home.root,
        ready_url=url(settings, ports["V1_GATEWAY_HTTP_PORT"], "/ready"),
        ports=tuple(ports.values()),
        environment={
            "V1_GATEWAY_HOST": settings.bind_host,
            "SELDON_LOG_LEVEL": settings["V1_GATEWAY_LOG_LEVEL"],
            "SELDON_ENVOY_HOST": settings.host,
            "SELDON_ENVOY_PORT": settings["ENVOY_DATA_PORT"],
            **settings.starting_with("V1_GATEWAY_"),
            **our_code(home),
        },
    )
