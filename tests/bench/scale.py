"""P5: many models against a stub inference server; the cost of one change must not grow with their number."""

import asyncio
import contextlib
import re
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

import grpc.aio
import httpx
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc
from rich.progress import Progress

from tests.bench.table import Row
from tests.peers.agent import AgentPeer
from tests.peers.mesh import Mesh, echo_server

Scheduler: TypeAlias = "scheduler_pb2_grpc.SchedulerAsyncStub"
SIZES = (10, 100, 1000)
_CHANGES = 25
_LOADS_AT_ONCE = 50
_CALLS = 200
_TOO_LARGE = 10**15
"""Bytes; no server has as many."""


@dataclass(frozen=True, slots=True)
class Scale:
    """At one number of models: seconds for all, milliseconds and Envoy resources for one change."""

    models: int
    load_all: float
    change_p50: float
    step_p50: float
    resources: float


@dataclass(frozen=True, slots=True)
class Scaling:
    """`sizes`: with nothing but models that run. `unplaced`: the largest of them with as many that lack a place.
    `one_by_one`, `at_once`: milliseconds of a LoadModel call when the next one waits for it, and 16 at a time."""

    sizes: list[Scale]
    unplaced: Scale
    one_by_one: float
    at_once: float


async def measure(progress: Progress) -> Scaling:
    """Grow one mesh to each size in turn."""
    results = []
    async with _mesh() as (mesh, scheduler):
        task = progress.add_task("P5: models on a stub server", total=SIZES[-1])
        loaded, elapsed = 0, 0.0
        for size in SIZES:
            started = time.perf_counter()
            await _load(scheduler, [f"m{number}" for number in range(loaded, size)])
            await _all_answer(mesh, range(loaded, size))
            elapsed += time.perf_counter() - started
            loaded = size
            progress.update(task, completed=loaded)
            results.append(await _changes(mesh, scheduler, size, elapsed))
        one_by_one, at_once = [await _calls(scheduler, callers) for callers in (1, 16)]
        for number in range(SIZES[-1]):
            await scheduler.LoadModel(_request(f"large{number}", "first", memory=_TOO_LARGE))
        return Scaling(results, await _changes(mesh, scheduler, SIZES[-1], elapsed, "beside-"), one_by_one, at_once)


async def _calls(scheduler: Scheduler, callers: int) -> float:
    """Milliseconds from a call to its answer, by which the model is on disk."""
    numbers = iter(range(_CALLS))
    durations: list[float] = []

    async def call() -> None:
        for number in numbers:
            started = time.perf_counter()
            await scheduler.LoadModel(_request(f"called{callers}-{number}", "first"))
            durations.append((time.perf_counter() - started) * 1000)

    await asyncio.gather(*(call() for _ in range(callers)))
    return statistics.median(durations)


@contextlib.asynccontextmanager
async def _mesh() -> AsyncIterator[tuple[Mesh, Scheduler]]:
    async with contextlib.AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(Mesh.start())
        port = await stack.enter_async_context(echo_server())
        agent = AgentPeer(f"127.0.0.1:{mesh.agent_port}", http_port=port, grpc_port=port)
        running = asyncio.create_task(agent.run())
        stack.callback(running.cancel)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{mesh.scheduler_port}"))
        yield mesh, scheduler_pb2_grpc.SchedulerStub(channel)


def _request(name: str, uri: str, memory: int = 1) -> pb.LoadModelRequest:
    return pb.LoadModelRequest(
        model=pb.Model(
            meta=pb.MetaData(name=name),
            modelSpec=pb.ModelSpec(uri=uri, requirements=["sklearn"], memoryBytes=memory),
            deploymentSpec=pb.DeploymentSpec(replicas=1),
        )
    )


async def _load(scheduler: Scheduler, names: list[str]) -> None:
    limit = asyncio.Semaphore(_LOADS_AT_ONCE)

    async def load(name: str) -> None:
        async with limit:
            await scheduler.LoadModel(_request(name, "first"), wait_for_ready=True)

    await asyncio.gather(*(load(name) for name in names))


async def _all_answer(mesh: Mesh, numbers: range) -> None:
    """Every model really answers through Envoy."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{mesh.data_port}", timeout=60) as client:
        for number in numbers:
            while (await client.get(f"/v2/models/m{number}")).status_code != 200:
                pass


async def _changes(mesh: Mesh, scheduler: Scheduler, size: int, elapsed: float, uri: str = "") -> Scale:
    """Change one model again and again, each time until its new version has the traffic."""
    durations = []
    before = await _metrics(mesh)
    for change in range(_CHANGES):
        name = f"m{change % size}"
        feed = scheduler.ModelStatus
        started = time.perf_counter()
        await scheduler.LoadModel(_request(name, f"{uri}{size}-{change}"))
        while True:
            async for status in feed(pb.ModelStatusRequest(model=pb.ModelReference(name=name))):
                state = status.versions[0].state.state
            if state == pb.ModelStatus.ModelAvailable:
                break
        durations.append((time.perf_counter() - started) * 1000)
    after = await _metrics(mesh)
    steps = after["steps"] - before["steps"]
    return Scale(
        models=size,
        load_all=elapsed,
        change_p50=statistics.median(durations),
        step_p50=(after["step_seconds"] - before["step_seconds"]) / steps * 1000,
        resources=(after["resources"] - before["resources"]) / _CHANGES,
    )


async def _metrics(mesh: Mesh) -> dict[str, float]:
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://127.0.0.1:{mesh.health_port}/metrics")).text

    def total(name: str) -> float:
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    return {
        "steps": total("seldon_scheduler_step_seconds_count"),
        "step_seconds": total("seldon_scheduler_step_seconds_sum"),
        "resources": total("seldon_scheduler_xds_resources_total"),
    }


def scale_rows(scaling: Scaling) -> list[Row]:
    results = scaling.sizes
    beside = scaling.unplaced.step_p50 / results[-1].step_p50
    largest, smallest = results[-1], results[0]
    growth = largest.change_p50 / smallest.change_p50
    rows = [
        Row(
            "P5",
            f"{largest.models} models loaded, routed and answering (stub server)",
            f"{largest.load_all:.1f} s",
            "< 60 s",
            largest.load_all < 60,
        ),
        Row(
            "P5",
            f"one change with {largest.models} models / with {smallest.models}",
            f"{growth:.2f}",
            "flat (≤ 1.5)",
            growth <= 1.5,
        ),
    ]
    rows.append(
        Row(
            "P5",
            f"a scheduling step with {largest.models} unplaced models beside them / without",
            f"{beside:.2f}",
            "flat (≤ 1.5)",
            beside <= 1.5,
            f"{scaling.unplaced.step_p50:.2f} ms a step, {scaling.unplaced.change_p50:.1f} ms a change",
        )
    )
    for callers, took in ((1, scaling.one_by_one), (16, scaling.at_once)):
        rows.append(Row("P5", f"LoadModel until it is on disk, {callers} at a time", f"{took:.1f} ms"))
    for at in results:
        details = f"{at.step_p50:.2f} ms a scheduling step, {at.resources:.0f} Envoy resources"
        rows.append(Row("P5", f"one change with {at.models} models", f"{at.change_p50:.1f} ms", details=details))
    return rows
