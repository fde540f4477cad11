"""A scheduler and a real Envoy on free ports, for tests and benchmarks that bring their own agents and servers."""

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import httpx

from shared.tracing.config import TracingConfig
from tests.peers.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
_START_TIMEOUT = 30


def envoy_binary() -> str:
    """The one that the project installs. Raises RuntimeError that says how to mend it when there is none."""
    beside = Path(sys.executable).with_name("envoy")
    if not beside.exists():
        raise RuntimeError(f"there is no {beside}: run `make setup`")
    return str(beside)


def envoy_environment() -> dict[str, str]:
    """Our own environment without the import path, which would hide the launcher's package of the same name."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@dataclass(slots=True)
class Mesh:
    """Ports of the running pair; all on 127.0.0.1."""

    folder: Path
    scheduler_port: int
    agent_port: int
    xds_port: int
    health_port: int
    data_port: int
    stats_port: int
    admin_port: int
    dataflow_port: int
    tracing: TracingConfig = field(default=None, kw_only=True)
    environment: dict[str, str] = field(default_factory=dict, kw_only=True)
    """Of the scheduler, beside our own."""
    rewritten: dict[str, str] = field(default_factory=dict, kw_only=True)
    """Text of the bootstrap, by what stands there in a deployment."""
    xds_seen_at: int | None = field(default=None, kw_only=True)
    """Port at which Envoy finds the scheduler, when it is not the scheduler's own."""
    v1_ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()), init=False)
    """Where the version 1 gateway would be."""
    scheduler: asyncio.subprocess.Process | None = field(default=None, init=False)
    envoy: asyncio.subprocess.Process | None = field(default=None, init=False)

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls, tracing: TracingConfig = None, environment: dict[str, str] | None = None
    ) -> AsyncIterator["Mesh"]:
        """Both run and are ready inside the context; both are gone after it. `tracing` is for both."""
        with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
            mesh = cls(Path(folder), *(free_port() for _ in range(8)), tracing=tracing, environment=environment or {})
            try:
                await mesh.start_scheduler()
                await mesh.start_envoy()
                yield mesh
            finally:
                await mesh.stop()

    async def stop(self) -> None:
        for process in (self.scheduler, self.envoy):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()

    async def start_scheduler(self) -> None:
        """Start, or start again after a kill with the same state."""
        ports = {
            "--scheduler-port": self.scheduler_port,
            "--agent-port": self.agent_port,
            "--envoy-port": self.xds_port,
            "--dataflow-port": self.dataflow_port,
            "--health-probe-port": self.health_port,
        }
        flags = ["--host", "127.0.0.1", "--db-path", str(self.folder)]
        flags += [text for flag, port in ports.items() for text in (flag, str(port))]
        with (self.folder / "scheduler.log").open("ab") as log:
            self.scheduler = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.scheduler", *flags,
                cwd=ROOT,
                stderr=log,
                env={**os.environ, **self.environment},
            )  # fmt: skip
        await _answers(f"http://127.0.0.1:{self.health_port}/live", self.folder / "scheduler.log")

    async def start_envoy(self) -> None:
        bootstrap = self.folder / "envoy.yaml"
        bootstrap.write_text(self.bootstrap())
        with (self.folder / "envoy.log").open("ab") as log:
            self.envoy = await asyncio.create_subprocess_exec(
                envoy_binary(), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1", "-l", "warning",
                env=envoy_environment(),
                stderr=log,
            )  # fmt: skip
        await _answers(f"http://127.0.0.1:{self.stats_port}/ready", self.folder / "envoy.log")

    def bootstrap(self) -> str:
        """The deployment's own bootstrap with this mesh's ports."""
        text = (ROOT / "compose/envoy/envoy.yaml").read_text()
        for deployed, here in self.rewritten.items():
            assert deployed in text, f"the bootstrap has no {deployed!r}"
            text = text.replace(deployed, here)
        return Template(text).substitute(
            ENVOY_ADMIN_PORT=self.admin_port,
            ENVOY_DATA_PORT=self.data_port,
            ENVOY_CONTROL_PORT=self.stats_port,
            ENVOY_BIND_HOST="127.0.0.1",
            ENVOY_LUA_DIR=ROOT / "compose/envoy",
            SCHEDULER_XDS_HOST="127.0.0.1",
            SCHEDULER_XDS_PORT=self.xds_seen_at or self.xds_port,
            V1_GATEWAY_HOST="127.0.0.1",
            V1_GATEWAY_HTTP_PORT=self.v1_ports[0],
            V1_GATEWAY_GRPC_PORT=self.v1_ports[1],
            **self._tracing(),
        )

    def _tracing(self) -> dict[str, str]:
        if self.tracing is None:
            return {"ENVOY_TRACING": "null", "OTEL_COLLECTOR_HOST": "127.0.0.1", "OTEL_COLLECTOR_PORT": "4317"}
        host, _, port = self.tracing.endpoint.rpartition(":")
        block = Template((ROOT / "compose/envoy/tracing.yaml").read_text())
        return {
            "ENVOY_TRACING": block.substitute(TRACING_RATIO=f"{self.tracing.ratio:f}"),
            "OTEL_COLLECTOR_HOST": host,
            "OTEL_COLLECTOR_PORT": port,
        }


async def _answers(url: str, log: Path) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(_START_TIMEOUT * 20):
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise RuntimeError(f"{url} did not answer within {_START_TIMEOUT} s; see {log}")


@contextlib.asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """An HTTP server that answers everything with 200 and the path; yields its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = head.split(b" ", 2)[1]
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
