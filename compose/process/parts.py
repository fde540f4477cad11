"""All parts of the system as programs; the groups among them come from modules of their own."""

import hashlib
import os
from pathlib import Path

from compose.process import broker, flow_parts, monitoring, pushgateways, tracing, usage, version1
from compose.process.common import digest, installed, our_code, url
from compose.process.home import REPOSITORY, Home
from compose.process.program import Program
from compose.process.settings import Settings

_ENVOY_SOURCES = REPOSITORY / "compose" / "envoy"


def programs(settings: Settings, home: Home, libpython: Path | None) -> tuple[Program, ...]:
    """Every part. `libpython` is the folder of Triton's Python library, if its loader needs to be told."""
    kafka = broker.program(settings, home)
    prometheus = monitoring.program(settings, home)
    return (
        *([kafka] if kafka else []),
        _scheduler(settings, home),
        _envoy(settings, home),
        _mlserver(settings, home),
        _triton(settings, home, libpython),
        _agent(settings, home, "mlserver"),
        _agent(settings, home, "triton"),
        *flow_parts.programs(settings, home),
        *version1.programs(settings, home),
        *usage.programs(settings, home),
        *pushgateways.programs(settings, home),
        *([prometheus] if prometheus else []),
    )


def envoy_config(home: Home) -> Path:
    return home.run / "envoy.yaml"


def agent_config(home: Home) -> Path:
    return home.run / "agent.yaml"


def model_repository(home: Home, server: str) -> Path:
    return home.agent(server) / "models"


def triton_backends(home: Home) -> Path:
    return home.run / "triton-backends"


def triton_package(home: Home) -> Path:
    """The site-packages folder that the Triton program, its libraries and numpy are in."""
    return home.venvs / "triton" / "lib" / "python3.11" / "site-packages"


def shared_memory_prefix(home: Home) -> str:
    """Start of the names in /dev/shm that this deployment's Triton uses."""
    return f"seldon-{hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]}-"


def _scheduler(settings: Settings, home: Home) -> Program:
    kinds = ("XDS", "SERVER", "AGENT", "DATAFLOW", "HEALTH")
    return Program(
        name="scheduler",
        command=(str(home.python("main")), "-m", "services.scheduler"),
        directory=home.root,
        ready_url=url(settings, settings.port("SCHEDULER_HEALTH_PORT"), "/ready"),
        ports=tuple(settings.port(f"SCHEDULER_{kind}_PORT") for kind in kinds),
        environment={
            "SCHEDULER_HOST": settings.bind_host,
            "SCHEDULER_DB_PATH": str(home.data / "scheduler"),
            "MAX_SHARD_COUNT_MULTIPLIER": settings["MAX_SHARD_COUNT_MULTIPLIER"],
            "PIPELINEGATEWAY_HTTP_PORT": settings["PIPELINEGATEWAY_HTTP_PORT"],
            "PIPELINEGATEWAY_GRPC_PORT": settings["PIPELINEGATEWAY_GRPC_PORT"],
            "MODELGATEWAY_MAX_NUM_CONSUMERS": settings["MODELGATEWAY_MAX_NUM_CONSUMERS"],
            "PIPELINEGATEWAY_MAX_NUM_CONSUMERS": settings["PIPELINEGATEWAY_MAX_NUM_CONSUMERS"],
            **settings.starting_with("SCHEDULER_"),
            **broker.access(settings, home),
            **tracing.environment(settings, home),
            **our_code(home),
        },
    )


def _envoy(settings: Settings, home: Home) -> Program:
    ports = ("ENVOY_DATA_PORT", "ENVOY_CONTROL_PORT", "ENVOY_ADMIN_PORT")
    command = [str(home.program("main", "envoy")), "--config-path", str(envoy_config(home))]
    command += ["--concurrency", settings["ENVOY_CONCURRENCY"], "--log-level", settings["ENVOY_LOG_LEVEL"]]
    return Program(
        name="envoy",
        command=(*command, "--disable-hot-restart"),
        directory=home.root,
        ready_url=url(settings, settings.port("ENVOY_CONTROL_PORT"), "/ready"),
        ports=tuple(settings.port(port) for port in ports),
        unready="the scheduler's first configuration",
        # Its configuration is read once: a change has to restart it.
        environment={
            "SELDON_CONFIGURATION": digest(envoy_config(home), *_lua_files()),
            "SELDON_INSTALLED": installed(home, "main"),
        },
    )


def _mlserver(settings: Settings, home: Home) -> Program:
    ports = {kind: settings.port(f"SERVER_MLSERVER_{kind}_PORT") for kind in ("HTTP", "GRPC", "METRICS")}
    return Program(
        name="mlserver",
        command=(str(home.python("mlserver")), *version1.MLSERVER, "start", str(model_repository(home, "mlserver"))),
        # MLServer takes a settings.json in its working folder for its own, so this one has to be empty of them.
        directory=home.agent("mlserver"),
        ready_url=url(settings, settings.port("SERVER_MLSERVER_HTTP_PORT"), "/v2/health/ready"),
        ports=(*ports.values(), settings.port(version1.METRICS_PORT)),
        environment={
            "MLSERVER_HOST": settings.bind_host,
            **{f"MLSERVER_{kind}_PORT": str(port) for kind, port in ports.items()},
            **settings.starting_with("MLSERVER_"),
            **tracing.mlserver_environment(settings),
            **version1.runtime(settings),
            "SELDON_INSTALLED": installed(home, "mlserver"),
        },
    )


def _triton(settings: Settings, home: Home, libpython: Path | None) -> Program:
    package = triton_package(home)
    http, grpc = settings.port("SERVER_TRITON_HTTP_PORT"), settings.port("SERVER_TRITON_GRPC_PORT")
    exit_timeout = settings["TRITON_EXIT_TIMEOUT_SECONDS"]
    libraries = [package / "nvidia_pytriton.libs", *([libpython] if libpython else [])]
    return Program(
        name="triton",
        command=(
            str(package / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={model_repository(home, 'triton')}",
            f"--backend-directory={triton_backends(home)}",
            f"--backend-config=python,shm-region-prefix-name={shared_memory_prefix(home)}",
            "--model-control-mode=explicit",
            # A model that hangs while it is loaded keeps one of these for ever.
            "--model-load-thread-count=32",
            "--strict-readiness=false",
            f"--exit-timeout-secs={exit_timeout}",
            f"--http-address={settings.bind_host}",
            f"--http-port={http}",
            f"--grpc-address={settings.bind_host}",
            f"--grpc-port={grpc}",
            "--allow-metrics=false",
            "--log-info=false",
        ),
        directory=home.agent("triton"),
        ready_url=url(settings, settings.port("SERVER_TRITON_HTTP_PORT"), "/v2/health/ready"),
        ports=(http, grpc),
        environment={
            "LD_LIBRARY_PATH": os.pathsep.join(str(folder) for folder in libraries),
            # Models find numpy this way: their Python looks for `python3` here and takes over its environment.
            "PATH": os.pathsep.join((str(home.venvs / "triton" / "bin"), os.defpath)),
            "SELDON_INSTALLED": installed(home, "triton"),
        },
        stop_seconds=int(exit_timeout) + 5,
    )


def _agent(settings: Settings, home: Home, server: str) -> Program:
    kind = server.upper()
    ports = {
        "SELDON_SERVER_HTTP_PORT": f"SERVER_{kind}_HTTP_PORT",
        "SELDON_SERVER_GRPC_PORT": f"SERVER_{kind}_GRPC_PORT",
        "SELDON_REVERSE_PROXY_HTTP_PORT": f"SELDON_{kind}_REVERSE_PROXY_HTTP_PORT",
        "SELDON_REVERSE_PROXY_GRPC_PORT": f"SELDON_{kind}_REVERSE_PROXY_GRPC_PORT",
        "SELDON_DEBUG_GRPC_PORT": f"AGENT_{kind}_DEBUG_PORT",
        "SELDON_METRICS_PORT": f"AGENT_{kind}_METRICS_PORT",
        "SELDON_READINESS_PORT": f"AGENT_{kind}_READINESS_PORT",
        "SELDON_SCHEDULER_PORT": "SCHEDULER_AGENT_PORT",
        "SELDON_ENVOY_PORT": "ENVOY_DATA_PORT",
        "SELDON_ENVOY_CONTROL_PORT": "ENVOY_CONTROL_PORT",
    }
    own = [port for variable, port in ports.items() if "PROXY" in variable or port.startswith("AGENT_")]
    command = [str(home.python("main")), "-m", "services.agent", "--server-name", server, "--server-idx", "0"]
    command += ["--agent-host", settings.host, "--inference-host", settings.host]
    command += ["--agent-folder", str(home.agent(server)), "--config-path", str(agent_config(home))]
    return Program(
        name=f"agent-{server}",
        command=tuple(command),
        directory=home.root,
        ready_url=url(settings, settings.port(f"AGENT_{kind}_READINESS_PORT"), "/ready"),
        ports=tuple(settings.port(port) for port in own),
        environment={
            "SELDON_SERVER_TYPE": server,
            "SELDON_SERVER_CAPABILITIES": settings[f"SERVER_{kind}_CAPABILITIES"],
            "SELDON_SCHEDULER_HOST": settings.host,
            "SELDON_ENVOY_HOST": settings.host,
            "SELDON_OVERCOMMIT_PERCENTAGE": settings["AGENT_OVERCOMMIT_PERCENTAGE"],
            "MEMORY_REQUEST": settings["AGENT_MEMORY_REQUEST"],
            "MLSERVER_PARALLEL_WORKERS": settings["MLSERVER_PARALLEL_WORKERS"],
            **settings.starting_with("SELDON_"),
            **{variable: str(settings.port(port)) for variable, port in ports.items()},
            **tracing.environment(settings, home),
            **our_code(home),
        },
    )


def _lua_files() -> list[Path]:
    return sorted(_ENVOY_SOURCES.glob("*.lua"))
