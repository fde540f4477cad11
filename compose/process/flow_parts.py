"""The parts between Kafka and the models: dataflow engines, model gateways and pipeline gateways, some of each."""

from collections.abc import Mapping
from typing import Final

from compose.process import broker, tracing
from compose.process.common import our_code, url
from compose.process.home import Home
from compose.process.program import Program
from compose.process.settings import Settings

PORT_STEP: Final = 100
"""Between the ports of one replica and of the next."""
_MOST_REPLICAS: Final = 8


def programs(settings: Settings, home: Home) -> tuple[Program, ...]:
    made = []
    for i in _replicas(settings, "DATAFLOW"):
        made.append(_dataflow(settings, home, i))
    for i in _replicas(settings, "MODELGATEWAY"):
        made.append(_modelgateway(settings, home, i))
    for i in _replicas(settings, "PIPELINEGATEWAY"):
        made.append(_pipelinegateway(settings, home, i))
    return tuple(made)


def _dataflow(settings: Settings, home: Home, replica: int) -> Program:
    access = {
        "SELDON_UPSTREAM_HOST": settings.host,
        "SELDON_UPSTREAM_PORT": settings["SCHEDULER_DATAFLOW_PORT"],
        "POD_NAME": f"seldon-dataflow-engine-{replica}",
        **tracing.dataflow_environment(settings),
    }
    return _program(settings, home, "dataflow", replica, ("DATAFLOW_HEALTH_PORT",), access)


def _modelgateway(settings: Settings, home: Home, replica: int) -> Program:
    access = {**_scheduler_and_envoy(settings), **tracing.environment(settings, home)}
    access["POD_NAME"] = f"seldon-modelgateway-{replica}"
    return _program(settings, home, "modelgateway", replica, ("MODELGATEWAY_HEALTH_PORT",), access)


def _pipelinegateway(settings: Settings, home: Home, replica: int) -> Program:
    ports = ("PIPELINEGATEWAY_METRICS_PORT", "PIPELINEGATEWAY_HTTP_PORT", "PIPELINEGATEWAY_GRPC_PORT")
    name = f"seldon-pipelinegateway-{replica}"
    access = {**_scheduler_and_envoy(settings), **tracing.environment(settings, home)}
    access |= {"POD_IP": settings.host, "POD_NAME": name}
    return _program(settings, home, "pipelinegateway", replica, ports, access)


def _program(
    settings: Settings, home: Home, service: str, replica: int, ports: tuple[str, ...], access: Mapping[str, str]
) -> Program:
    """The first of `ports` is the one that says whether the part is ready."""
    kind = service.upper()
    own = {port: settings.port(port) + replica * PORT_STEP for port in ports}
    # A replica more or less is no reason for the others to start again.
    common = {name: value for name, value in settings.starting_with(f"{kind}_").items() if name != f"{kind}_REPLICAS"}
    return Program(
        name=f"{service}-{replica}" if replica else service,
        command=(str(home.python("main")), "-m", f"services.{service}"),
        directory=home.root,
        ready_url=url(settings, own[ports[0]], "/ready"),
        ports=tuple(own.values()),
        environment={
            f"{kind}_HOST": settings.bind_host,
            "SELDON_LOG_LEVEL": settings[f"{kind}_LOG_LEVEL"],
            **access,
            **common,
            **{name: str(port) for name, port in own.items()},
            **broker.access(settings, home),
            **our_code(home),
        },
    )


def _scheduler_and_envoy(settings: Settings) -> dict[str, str]:
    return {
        "SELDON_SCHEDULER_HOST": settings.host,
        "SELDON_SCHEDULER_PORT": settings["SCHEDULER_SERVER_PORT"],
        "SELDON_ENVOY_HOST": settings.host,
        "SELDON_ENVOY_PORT": settings["ENVOY_DATA_PORT"],
    }


def _replicas(settings: Settings, kind: str) -> range:
    return range(settings.number(f"{kind}_REPLICAS", 1, _MOST_REPLICAS))
