"""Versions, owners and restarts: nothing is lost and nothing is answered twice."""

import asyncio

import pytest

from shared.kafka import headers
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.instructions import chain, join
from tests.dataflow.engine.mesh import Mesh, tensors


async def test_an_update_leaves_requests_in_flight_to_the_old_version(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    old, new = chain(mesh.names, "p", "a", version=1), chain(mesh.names, "p", "b", version=2)
    pipelines = await engine()
    await pipelines.create(old.create())
    await mesh.watch("p")
    mesh.hold("a")
    before = await mesh.send("p", 20)
    await mesh.until_asked("a", 20)
    await pipelines.create(new.create())
    after = await mesh.send("p", 20)
    assert {_version(answer) for answer in (await mesh.answered(after)).values()} == {"2"}
    draining = await pipelines.delete(old.delete())
    assert draining is not None
    assert not set(before) & mesh.answers.keys()
    await mesh.release("a")
    await draining
    assert {_version(answer) for answer in (await mesh.answered(before)).values()} == {"1"}


async def test_an_update_under_load_answers_every_request_once(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    pipelines = await engine()
    await pipelines.create(join(mesh.names, "p", "a", "b", version=1).create())
    await mesh.watch("p")
    ids: list[str] = []
    updated = asyncio.Event()

    async def load() -> None:
        while not updated.is_set():
            for partition in (0, 1):
                ids.extend(await mesh.send("p", 10, partition))

    sending = asyncio.create_task(load())
    for version in (2, 3):
        await mesh.until_asked("a", version * 100)
        await pipelines.create(join(mesh.names, "p", "a", "b", version=version).create())
        draining = await pipelines.delete(join(mesh.names, "p", "a", "b", version=version - 1).delete())
        assert draining is not None
        await draining
    await mesh.until_asked("a", 400)
    updated.set()
    await sending
    ids += await mesh.send("p", 10)
    versions = {_version(answer) for answer in (await mesh.answered(ids)).values()}
    assert versions == {"1", "2", "3"}


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_a_restart_in_the_middle_of_an_update(mesh: Mesh, engine: MakeEngine, order: tuple[int, int]) -> None:
    await mesh.serve("a", "b")
    versions = {1: chain(mesh.names, "p", "a", version=1), 2: chain(mesh.names, "p", "b", version=2)}
    first = await engine()
    await first.create(versions[1].create())
    await mesh.watch("p")
    mesh.hold("a")
    mesh.hold("b")
    ids = await mesh.send("p", 10)
    await mesh.until_asked("a", 10)
    await first.create(versions[2].create())
    ids += await mesh.send("p", 10)
    await mesh.until_asked("b", 10)
    await first.close()
    ids += await mesh.send("p", 10)
    second = await engine()
    for version in order:
        await second.create(versions[version].create())
    await mesh.release("b")
    await mesh.release("a")
    answers = await mesh.answered(ids)
    assert [_version(answers[request_id]) for request_id in ids] == ["1"] * 10 + ["2"] * 20
    assert (len(mesh.asked["a"]), len(mesh.asked["b"])) == (10, 20)


async def test_another_engine_goes_on_where_one_stopped(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    described = join(mesh.names, "p", "a", "b")
    one, other = await engine("one"), await engine("other")
    await one.create(described.create(["one"]))
    await mesh.watch("p")
    mesh.hold("b")
    ids = await mesh.send("p", 20)
    await mesh.until_asked("a", 20)
    await mesh.until_asked("b", 20)
    assert await one.delete(described.delete()) is None
    ids += await mesh.send("p", 20)
    await other.create(described.create(["other"]))
    await mesh.until_asked("b", 40)
    await mesh.release("b")
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a": int(request_id), "INPUT-b": int(request_id)}
    assert (len(mesh.asked["a"]), len(mesh.asked["b"])) == (40, 40)


async def test_engines_share_a_pipeline_by_partition(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    described = join(mesh.names, "p", "a", "b")
    one, other = await engine("one"), await engine("other")
    await one.create(described.create(["one"]))
    await mesh.watch("p")
    mesh.hold("b")
    ids = await mesh.send("p", 20) + await mesh.send("p", 20, partition=1)
    await mesh.until_asked("b", 40)
    assert await one.delete(described.delete()) is None
    await one.create(described.create(["one", "other"]))
    await other.create(described.create(["one", "other"]))
    await mesh.release("b")
    ids += await mesh.send("p", 20) + await mesh.send("p", 20, partition=1)
    await mesh.answered(ids)
    await other.close()
    await mesh.send("p", 1, partition=1)
    await mesh.answered(await mesh.send("p", 1))
    assert len(mesh.asked["a"]) == 81


async def test_the_same_instruction_again_changes_nothing(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    pipelines = await engine()
    described = chain(mesh.names, "p", "a")
    await pipelines.create(described.create())
    await mesh.watch("p")
    mesh.hold("a")
    ids = await mesh.send("p", 5)
    await mesh.until_asked("a", 5)
    await pipelines.create(described.create())
    await mesh.release("a")
    await mesh.answered(ids)
    assert len(mesh.asked["a"]) == 5


async def test_topics_are_removed_when_that_is_asked_for(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    pipelines = await engine()
    described = chain(mesh.names, "p", "a")
    await pipelines.create(described.create())
    ends = [mesh.names.pipeline_inputs("p"), mesh.names.pipeline_outputs("p")]
    assert len(await mesh.topics.partitions(ends)) == 2
    draining = await pipelines.delete(described.delete(with_topics=True))
    assert draining is not None
    await draining
    assert await mesh.topics.partitions(ends) == {}


def _version(record: object) -> str | None:
    return headers.text(record.headers, headers.PIPELINE_VERSION)  # type: ignore[attr-defined]
