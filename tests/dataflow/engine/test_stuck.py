"""A topic that takes no records, as one without a leader does: only the pipelines that write there stand still."""

import pytest

from services.dataflow.kafka import outbox
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.instructions import chain
from tests.dataflow.engine.mesh import Mesh
from tests.peers.broker import kind_for_tests

pytestmark = pytest.mark.skipif(kind_for_tests() == "tansu", reason="Tansu refuses at once, and callers are told")


@pytest.mark.parametrize("room", [10_000, 50])
async def test_it_stops_no_other_pipeline(
    mesh: Mesh, engine: MakeEngine, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Neither as long as there is room for its records, nor when they would take all of it."""
    monkeypatch.setattr(outbox, "_MOST_RECORDS", room)
    monkeypatch.setattr(outbox, "_STUCK_SECONDS", 0.5)
    await mesh.serve("a", "b")
    # Of what no broker takes, the client gives up each batch after this time.
    pipelines = await engine(producer={"request_timeout_ms": 3_000})
    await pipelines.create(chain(mesh.names, "p", "a").create())
    await pipelines.create(chain(mesh.names, "q", "b").create())
    await mesh.watch("p", "q")
    await mesh.topics.delete([mesh.names.model_inputs("a")])
    stuck = await mesh.send("p", 100)
    for _ in range(5):
        await mesh.answered(await mesh.send("q", 20))
    assert not mesh.answers.keys() & set(stuck)
    await mesh.topics.ensure([mesh.names.model_inputs("a")])
    await mesh.answered(stuck)
