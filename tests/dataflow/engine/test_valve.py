"""The engine lets in no more than it may have under way, and gets through all of it."""

from prometheus_client import REGISTRY

from services.dataflow.core.valve import Valve
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.instructions import chain
from tests.dataflow.engine.mesh import Mesh, tensors

MOST = 50


def _value(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_no_more_requests_are_let_in_than_may_be_under_way(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b", "c")
    pipelines = await engine(valve=Valve(MOST, 10**9))
    await pipelines.create(chain(mesh.names, "p", "a", "b").create())
    await pipelines.create(chain(mesh.names, "q", "c").create())
    await mesh.watch("p", "q")
    pauses = _value("seldon_dataflow_pauses_total")
    mesh.hold("b")
    ids = await mesh.send("p", MOST)
    await mesh.until_asked("b", MOST)
    assert _value("seldon_dataflow_reading_paused") == 1
    for partition in (0, 1):
        ids += await mesh.send("p", 5 * MOST, partition)
    # What another pipeline is sent waits, too: the engine's memory is one.
    other = await mesh.send("q", MOST)
    assert pipelines.in_flight == MOST
    assert _value("seldon_dataflow_held_bytes") > 0
    await mesh.release("b")
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a-b": int(request_id)}
    await mesh.answered(other)
    assert _value("seldon_dataflow_pauses_total") > pauses
    assert (len(mesh.asked["a"]), len(mesh.asked["b"]), len(mesh.asked["c"])) == (11 * MOST, 11 * MOST, MOST)


async def test_large_records_count_by_their_bytes(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    pipelines = await engine(valve=Valve(10**6, 1_000_000))
    await pipelines.create(chain(mesh.names, "p", "a").create())
    await mesh.watch("p")
    mesh.hold("a")
    ids = await mesh.send("p", 10, size=100_000)
    await mesh.until_asked("a", 10)
    ids += await mesh.send("p", 10, size=100_000)
    assert 1_000_000 <= _value("seldon_dataflow_held_bytes") < 1_100_000
    assert _value("seldon_dataflow_reading_paused") == 1
    await mesh.release("a")
    await mesh.answered(ids)
    assert _value("seldon_dataflow_held_bytes") == 0
    assert _value("seldon_dataflow_reading_paused") == 0


async def test_an_engine_that_starts_again_behind_its_limit_gets_through(mesh: Mesh, engine: MakeEngine) -> None:
    """Many answers are there already, of requests that are let in only a few at a time."""
    await mesh.serve("a", "b")
    described = chain(mesh.names, "p", "a", "b")
    first = await engine()
    await first.create(described.create())
    await mesh.watch("p")
    mesh.hold("b")
    ids = await mesh.send("p", 5 * MOST) + await mesh.send("p", 5 * MOST, 1)
    await mesh.until_asked("b", 10 * MOST)
    await first.close()
    second = await engine(valve=Valve(MOST, 10**9))
    await second.create(described.create())
    await mesh.release("b")
    await mesh.answered(ids)
    assert (len(mesh.asked["a"]), len(mesh.asked["b"])) == (10 * MOST, 10 * MOST)
