"""A peer whose machine lost power says no goodbye. Both sides notice, and are together again when it is back."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.peers.broker import Broker
from tests.peers.inference import upstream
from tests.peers.line import Line, line_to
from tests.peers.mesh import ROOT, Mesh
from tests.peers.ports import free_port, free_ports

KEEPALIVE = {"GRPC_KEEPALIVE_SECONDS": "0.5", "GRPC_KEEPALIVE_ANSWER_SECONDS": "1"}
ENVOY_KEEPALIVE = {"interval: 20s, timeout: 10s": "interval: 0.5s, timeout: 1s"}
SECONDS = 90.0
"""Until both sides must have noticed; with the deployment's own timing it would be 30 for each."""


@dataclass
class Neighbourhood:
    """A scheduler, and everyone who talks to it, each over a line of its own."""

    mesh: Mesh
    http: httpx.AsyncClient
    lines: list[Line] = field(default_factory=list)
    probes: dict[str, int] = field(default_factory=dict)
    """Port of the readiness of each service that subscribes to the scheduler."""

    async def connected(self) -> dict[str, float]:
        """Number of peers by kind, as the scheduler has it."""
        text = (await self.http.get(f"http://127.0.0.1:{self.mesh.health_port}/metrics")).text
        wanted = ("seldon_scheduler_envoys_c", "seldon_scheduler_agents_c", "seldon_scheduler_members_c")
        samples = (line.rpartition(" ") for line in text.splitlines() if line.startswith(wanted))
        return {name: float(value) for name, _, value in samples}

    async def without_scheduler(self) -> set[str]:
        """Those of the other side who say that they miss it."""
        missing = set()
        for name, port in self.probes.items():
            waiting = (await self.http.get(f"http://127.0.0.1:{port}/ready")).json()["waiting_for"]
            if "scheduler" in waiting:
                missing.add(name)
        stats = await self.http.get(f"http://127.0.0.1:{self.mesh.stats_port}/stats?filter=control_plane.connected")
        if stats.text.strip().endswith("0"):
            missing.add("envoy")
        return missing


async def until(what: Callable[[], Awaitable[object]], holds: Callable[[object], bool]) -> None:
    """Look until it holds. Raises AssertionError with what was last seen."""
    seen: object = None
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                seen = await what()
                if holds(seen):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {SECONDS:g} s; last seen: {seen}") from None


@contextlib.asynccontextmanager
async def running(module: str, folder: Path, environment: dict[str, str], *flags: str) -> AsyncIterator[None]:
    with (folder / f"{module}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *flags, cwd=ROOT, env={**os.environ, **environment}, stderr=log, stdout=log
        )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
async def neighbourhood(broker: Broker, tmp_path: Path) -> AsyncIterator[Neighbourhood]:
    async with contextlib.AsyncExitStack() as stack:
        mesh = Mesh(tmp_path, *free_ports(8), environment=KEEPALIVE, rewritten=ENVOY_KEEPALIVE)
        made = Neighbourhood(mesh, await stack.enter_async_context(httpx.AsyncClient(timeout=30)))

        async def line(port: int) -> int:
            made.lines.append(await stack.enter_async_context(line_to(port)))
            return made.lines[-1].port

        async def service(name: str, probe: int, flags: Mapping[str, object]) -> None:
            written = [f"--{flag}={value}" for flag, value in flags.items()]
            environment = KEEPALIVE | {"KAFKA_CONFIG_PATH": str(kafka)}
            await stack.enter_async_context(running(f"services.{name}", tmp_path, environment, *written))
            made.probes[name] = probe

        kafka = tmp_path / "kafka.json"
        kafka.write_text(json.dumps({"bootstrap.servers": broker.config.bootstrap_servers}))
        await mesh.start_scheduler()
        stack.push_async_callback(mesh.stop)
        mesh.xds_seen_at = await line(mesh.xds_port)
        await mesh.start_envoy()
        server = await stack.enter_async_context(upstream("server"))
        for folder in ("agent/models", "config"):
            (tmp_path / folder).mkdir(parents=True)
        rest, grpc, debug, metrics, probe = free_ports(5)
        await service(
            "agent",
            probe,
            {
                "agent-host": "127.0.0.1",
                "agent-folder": tmp_path / "agent",
                "config-path": tmp_path / "config/agent.yaml",
                "server-name": "mlserver",
                "server-idx": 0,
                "scheduler-host": "127.0.0.1",
                "scheduler-port": await line(mesh.agent_port),
                "inference-host": "127.0.0.1",
                "inference-http-port": server.http_port,
                "inference-grpc-port": server.grpc_port,
                "reverse-proxy-http-port": rest,
                "reverse-proxy-grpc-port": grpc,
                "debug-grpc-port": debug,
                "metrics-port": metrics,
                "readiness-port": probe,
            },
        )
        host, probe = {"host": "127.0.0.1", "scheduler-host": "127.0.0.1"}, free_port()
        seen = {"scheduler-plaintxt-port": await line(mesh.scheduler_port)}
        await service("modelgateway", probe, {**host, **seen, "health-probe-port": probe, "envoy-port": mesh.data_port})
        rest, grpc, probe = free_ports(3)
        seen = {"scheduler-plaintxt-port": await line(mesh.scheduler_port)}
        ports = {"http-port": rest, "grpc-port": grpc, "metrics-port": probe, "envoy-port": mesh.data_port}
        await service("pipelinegateway", probe, {**host, **seen, **ports})
        probe = free_port()
        seen = {"upstream-port": await line(mesh.dataflow_port), "health-server-port": probe}
        await service("dataflow", probe, {"host": "127.0.0.1", "upstream-host": "127.0.0.1", **seen})
        yield made


async def test_silent_peers_are_noticed_on_both_sides(neighbourhood: Neighbourhood) -> None:
    everyone = {*neighbourhood.probes, "envoy"}

    def all_there(seen: object) -> bool:
        return isinstance(seen, dict) and len(seen) == 5 and set(seen.values()) == {1.0}

    await until(neighbourhood.connected, all_there)
    await until(neighbourhood.without_scheduler, lambda seen: not seen)

    for line in neighbourhood.lines:
        line.go_dumb()
    await until(neighbourhood.connected, lambda seen: isinstance(seen, dict) and set(seen.values()) == {0.0})
    await until(neighbourhood.without_scheduler, lambda seen: seen == everyone)

    for line in neighbourhood.lines:
        line.mend()
    await until(neighbourhood.connected, all_there)
    await until(neighbourhood.without_scheduler, lambda seen: not seen)
