"""Real inference servers, a real agent process and a scheduler peer for the agent's tests."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from mlops.agent import agent_pb2, agent_pb2_grpc

from tests.peers.ports import free_ports

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 90.0
EVENT_SECONDS = 60.0
PYTHON_PATH = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "protos" / "gen")])


def _virtualenv(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, REPOSITORY / ".seldon" / "venvs" / name))
    if not (folder / "bin" / "python").exists():
        pytest.fail(
            f"{name} is not installed in {folder}: run `make setup`, or set {variable} to its virtual environment"
        )
    return folder


def wait_http(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return once `url` answers 200; fail with the log's end when the process is gone or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"nothing answers at {url}; the log ends with:\n{log.read_text()[-3000:]}")


@dataclass
class Server:
    """An inference server on the repository of one agent folder; it may be ended and started again."""

    kind: str
    agent_folder: Path
    http_port: int
    grpc_port: int
    command: Sequence[str]
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        log = self.agent_folder / f"{self.kind}.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdout=output,
                stderr=output,
                cwd=self.agent_folder,
                start_new_session=True,
            )
        wait_http(f"{self.url}/v2/health/live", self.process, log)

    def kill(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def _agent_folder(tmp_path_factory: pytest.TempPathFactory, kind: str) -> Path:
    folder = tmp_path_factory.mktemp(kind)
    (folder / "models").mkdir()
    return folder


@pytest.fixture(scope="session")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    venv = _virtualenv("SELDON_MLSERVER_VENV", "mlserver")
    folder = _agent_folder(tmp_path_factory, "mlserver")
    http_port, grpc_port, metrics_port = free_ports(3)
    environment = {
        **os.environ,
        "PYTHONPATH": "",
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(http_port),
        "MLSERVER_GRPC_PORT": str(grpc_port),
        "MLSERVER_METRICS_PORT": str(metrics_port),
        "MLSERVER_PARALLEL_WORKERS": "0",
        "MLSERVER_LOAD_MODELS_AT_STARTUP": "false",
        "MLSERVER_MODEL_REPOSITORY_ROOT": str(folder / "models"),
    }
    command = [str(venv / "bin" / "mlserver"), "start", str(folder / "models")]
    server = Server("mlserver", folder, http_port, grpc_port, command, environment)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = triton_of(tmp_path_factory)
    server.start()
    yield server
    server.kill()


def triton_of(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One more Triton, not started yet."""
    venv = _virtualenv("SELDON_TRITON_VENV", "triton")
    (packages,) = venv.glob("lib/python3*/site-packages")
    folder = _agent_folder(tmp_path_factory, "triton")
    backends = folder / "backends"
    binaries = packages / "pytriton" / "tritonserver"
    shutil.copytree(binaries / "backends", backends)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copy2(binaries / "python_backend_stubs" / version / "triton_python_backend_stub", backends / "python")
    http_port, grpc_port = free_ports(2)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(packages / "nvidia_pytriton.libs"),
        # The Python backend's interpreter looks for its home, and so for numpy, along the PATH.
        "PATH": os.pathsep.join([str(venv / "bin"), os.environ["PATH"]]),
        "PYTHONPATH": "",
    }
    command = [
        str(binaries / "bin" / "tritonserver"),
        f"--backend-directory={backends}",
        "--model-control-mode=explicit",
        "--model-load-thread-count=32",
        f"--model-repository={folder / 'models'}",
        "--http-address=127.0.0.1",
        f"--http-port={http_port}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc_port}",
        "--allow-metrics=false",
    ]
    return Server("triton", folder, http_port, grpc_port, command, environment)


class SchedulerPeer(agent_pb2_grpc.AgentServiceServicer):
    """The scheduler's side of the wire, run by the test."""

    def __init__(self) -> None:
        self.subscriptions: asyncio.Queue[tuple[agent_pb2.AgentSubscribeRequest, dict[str, str]]] = asyncio.Queue()
        self.events: asyncio.Queue[agent_pb2.ModelEventMessage] = asyncio.Queue()
        self._operations: asyncio.Queue[agent_pb2.ModelOperationMessage] = asyncio.Queue()
        self._server: grpc.aio.Server | None = None
        (self.port,) = free_ports(1)

    async def Subscribe(self, request: Any, context: Any) -> AsyncIterator[agent_pb2.ModelOperationMessage]:
        self._operations = asyncio.Queue()
        await context.send_initial_metadata(())
        await self.subscriptions.put((request, dict(context.invocation_metadata())))
        while True:
            yield await self._operations.get()

    async def AgentEvent(self, request: Any, context: Any) -> agent_pb2.ModelEventResponse:
        await self.events.put(request)
        return agent_pb2.ModelEventResponse()

    async def ModelScalingTrigger(self, request_iterator: Any, context: Any) -> agent_pb2.ModelScalingTriggerResponse:
        return agent_pb2.ModelScalingTriggerResponse()

    async def AgentDrain(self, request: Any, context: Any) -> agent_pb2.AgentDrainResponse:
        return agent_pb2.AgentDrainResponse(success=True)

    async def start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=0)
            self._server = None

    async def subscription(self) -> tuple[agent_pb2.AgentSubscribeRequest, dict[str, str]]:
        return await asyncio.wait_for(self.subscriptions.get(), EVENT_SECONDS)

    async def load(self, definition: agent_pb2.ModelVersion) -> None:
        operation = agent_pb2.ModelOperationMessage.LOAD_MODEL
        await self._operations.put(agent_pb2.ModelOperationMessage(operation=operation, modelVersion=definition))

    async def unload(self, definition: agent_pb2.ModelVersion) -> None:
        operation = agent_pb2.ModelOperationMessage.UNLOAD_MODEL
        await self._operations.put(agent_pb2.ModelOperationMessage(operation=operation, modelVersion=definition))

    async def event(self) -> agent_pb2.ModelEventMessage:
        return await asyncio.wait_for(self.events.get(), EVENT_SECONDS)


@pytest.fixture
async def scheduler() -> AsyncIterator[SchedulerPeer]:
    peer = SchedulerPeer()
    await peer.start()
    yield peer
    await peer.stop()


@dataclass
class AgentProcess:
    """`python -m services.agent` beside one inference server."""

    server: Server
    scheduler: SchedulerPeer
    settings: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=lambda: free_ports(6))
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    @property
    def log(self) -> Path:
        return self.server.agent_folder / "agent.log"

    async def start(self) -> tuple[agent_pb2.AgentSubscribeRequest, dict[str, str]]:
        """Start it and wait until it has registered; gives its registration and metadata."""
        await self.spawn(self.scheduler.port)
        assert self.process is not None
        ended = asyncio.create_task(self.process.wait())
        registered = asyncio.create_task(self.scheduler.subscription())
        await asyncio.wait((ended, registered), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            registered.cancel()
            pytest.fail(f"the agent ended; its log ends with:\n{self.log.read_text()[-3000:]}")
        return await registered

    async def spawn(self, scheduler_port: int) -> None:
        """Start it with a scheduler at this port."""
        names = (
            "reverse-proxy-http-port",
            "reverse-proxy-grpc-port",
            "debug-grpc-port",
            "metrics-port",
            "readiness-port",
            "envoy-control-port",  # where no Envoy is, not even that of a deployment on this machine
        )
        settings = {
            "agent-host": "127.0.0.1",
            "agent-folder": str(self.server.agent_folder),
            "config-path": str(self.server.agent_folder / "agent.yaml"),
            "server-name": self.server.kind,
            "server-idx": "0",
            "server-type": self.server.kind,
            "scheduler-host": "127.0.0.1",
            "scheduler-port": str(scheduler_port),
            "inference-host": "127.0.0.1",
            "inference-http-port": str(self.server.http_port),
            "inference-grpc-port": str(self.server.grpc_port),
            "unload-grace-period-seconds": "0",
            **{name: str(port) for name, port in zip(names, self.ports, strict=True)},
            **self.settings,
        }
        flags = [f"--{name}={value}" for name, value in settings.items()]
        environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.agent", *flags, env=environment, stdout=log, stderr=log, cwd=REPOSITORY
            )

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        status = await asyncio.wait_for(self.process.wait(), EVENT_SECONDS)
        self.process = None
        return status


MakeAgent = Callable[..., AgentProcess]


@pytest.fixture
async def make_agent(scheduler: SchedulerPeer) -> AsyncIterator[MakeAgent]:
    """A factory of agents; each starts with nothing from earlier tests and is ended with the test."""
    made: list[AgentProcess] = []

    def make(server: Server, **settings: str) -> AgentProcess:
        shutil.rmtree(server.agent_folder / "state", ignore_errors=True)
        agent = AgentProcess(server, scheduler, {name.replace("_", "-"): value for name, value in settings.items()})
        made.append(agent)
        return agent

    yield make
    for agent in made:
        if agent.process is not None:
            await agent.end(signal.SIGKILL)
