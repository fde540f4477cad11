"""The engine as a process: killed, stopped, without its scheduler."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from mlops.chainer.chainer_pb2 import PipelineUpdateMessage

from shared.kafka.config import KafkaConfig
from tests.dataflow.engine.instructions import chain, join
from tests.dataflow.engine.mesh import PATIENCE, Mesh, tensors
from tests.dataflow.engine.process import Scheduler, start_engine
from tests.peers.ports import free_port


@pytest.fixture
async def scheduler() -> AsyncIterator[Scheduler]:
    async with Scheduler() as made:
        yield made


@pytest.fixture
async def processes() -> AsyncIterator[list[asyncio.subprocess.Process]]:
    made: list[asyncio.subprocess.Process] = []
    yield made
    for process in made:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_killed_in_the_middle_of_joins_it_loses_and_repeats_nothing(
    config: KafkaConfig,
    mesh: Mesh,
    scheduler: Scheduler,
    processes: list[asyncio.subprocess.Process],
    tmp_path: Path,
) -> None:
    await mesh.serve("a", "b")
    await mesh.watch("p")
    scheduler.want(join(mesh.names, "p", "a", "b").create())
    processes.append(await start_engine(config, scheduler, tmp_path))
    assert (await scheduler.reported(1)).success
    mesh.hold("b")
    ids = await mesh.send("p", 100) + await mesh.send("p", 100, partition=1)
    await mesh.until_asked("b", 200)
    processes[-1].kill()
    await processes[-1].wait()
    ids += await mesh.send("p", 100)
    processes.append(await start_engine(config, scheduler, tmp_path))
    assert (await scheduler.reported(2)).success
    await mesh.until_asked("b", 300)
    await mesh.release("b")
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a": int(request_id), "INPUT-b": int(request_id)}
    assert (len(mesh.asked["a"]), len(mesh.asked["b"])) == (300, 300)


async def test_killed_under_load_it_loses_and_repeats_nothing(
    config: KafkaConfig,
    mesh: Mesh,
    scheduler: Scheduler,
    processes: list[asyncio.subprocess.Process],
    tmp_path: Path,
) -> None:
    await mesh.serve("a", "b")
    await mesh.watch("p")
    scheduler.want(join(mesh.names, "p", "a", "b").create())
    ids: list[str] = []

    async def load() -> None:
        for turn in range(60):
            ids.extend(await mesh.send("p", 10, partition=turn % 2))

    processes.append(await start_engine(config, scheduler, tmp_path))
    await scheduler.reported(1)
    sending = asyncio.create_task(load())
    for kills in range(1, 4):
        await mesh.until_asked("a", kills * 100)
        processes[-1].kill()
        await processes[-1].wait()
        processes.append(await start_engine(config, scheduler, tmp_path))
        await scheduler.reported(1 + kills)
    await sending
    await mesh.answered(ids)
    assert (len(mesh.asked["a"]), len(mesh.asked["b"])) == (600, 600)


async def test_it_stops_when_asked_and_goes_on_where_it_was(
    config: KafkaConfig,
    mesh: Mesh,
    scheduler: Scheduler,
    processes: list[asyncio.subprocess.Process],
    tmp_path: Path,
) -> None:
    await mesh.serve("a")
    await mesh.watch("p")
    scheduler.want(chain(mesh.names, "p", "a").create())
    processes.append(await start_engine(config, scheduler, tmp_path))
    await scheduler.reported(1)
    ids = await mesh.send("p", 10)
    await mesh.answered(ids)
    processes[-1].terminate()
    assert await asyncio.wait_for(processes[-1].wait(), PATIENCE) == 0
    ids += await mesh.send("p", 10)
    processes.append(await start_engine(config, scheduler, tmp_path))
    await mesh.answered(ids)


async def test_it_works_on_while_the_scheduler_is_away(
    config: KafkaConfig,
    mesh: Mesh,
    scheduler: Scheduler,
    processes: list[asyncio.subprocess.Process],
    tmp_path: Path,
) -> None:
    await mesh.serve("a")
    await mesh.watch("p")
    instruction = chain(mesh.names, "p", "a").create()
    scheduler.want(instruction)
    health = free_port()
    more = {"replica-id": "me", "health-server-port": str(health)}
    processes.append(await start_engine(config, scheduler, tmp_path, **more))
    first = await scheduler.reported(1)
    assert (first.success, first.reason) == (True, "pipeline data streams: ready")
    assert first.update == PipelineUpdateMessage(
        op=PipelineUpdateMessage.Create,
        pipeline="p",
        version=1,
        uid="p-1",
        timestamp=instruction.timestamp,
        stream="test",
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{health}") as probes:
        assert (await probes.get("/ready")).status_code == 200
        await scheduler.__aexit__()
        await mesh.answered(await mesh.send("p", 10))
        assert 'seldon_dataflow_records_in_total{pipeline="p"} 20.0' in (await probes.get("/metrics")).text
    await scheduler.__aenter__()
    assert (await scheduler.reported(2)).success
    assert scheduler.subscribers == ["me", "me"]


async def test_an_instruction_that_makes_no_sense_is_reported(
    config: KafkaConfig,
    mesh: Mesh,
    scheduler: Scheduler,
    processes: list[asyncio.subprocess.Process],
    tmp_path: Path,
) -> None:
    broken = chain(mesh.names, "p", "a").create()
    del broken.updates[:]
    scheduler.want(broken)
    processes.append(await start_engine(config, scheduler, tmp_path))
    report = await scheduler.reported(1)
    assert not report.success
    assert report.reason.startswith("failed to create all pipeline steps: ")
    scheduler.want(chain(mesh.names, "p", "a").delete())
    assert (await scheduler.reported(2)).reason == "pipeline removed"
