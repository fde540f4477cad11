"""Requests through whole pipelines: engine and broker are real, models are a loop."""

import time

from shared.kafka import headers
from tests.dataflow.engine.conftest import MakeEngine
from tests.dataflow.engine.instructions import chain, join
from tests.dataflow.engine.mesh import Mesh, tensors


async def test_a_chain_answers_every_request_once(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    await (await engine()).create(chain(mesh.names, "p", "a", "b").create())
    await mesh.watch("p")
    ids = await mesh.send("p", 50) + await mesh.send("p", 50, partition=1)
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a-b": int(request_id)}
        assert headers.text(answer.headers, headers.PIPELINE) == "p"


async def test_a_join_puts_the_answers_of_one_request_together(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    await (await engine()).create(join(mesh.names, "p", "a", "b").create())
    await mesh.watch("p")
    ids = await mesh.send("p", 200)
    for request_id, answer in (await mesh.answered(ids)).items():
        assert tensors(answer) == {"INPUT-a": int(request_id), "INPUT-b": int(request_id)}


async def test_two_pipelines_share_a_models_topics(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    pipelines = await engine()
    await pipelines.create(chain(mesh.names, "p", "a").create())
    await pipelines.create(chain(mesh.names, "q", "a", "b").create())
    await mesh.watch("p", "q")
    ids = {name: await mesh.send(name, 50) for name in ("p", "q")}
    for answer in (await mesh.answered(ids["p"])).values():
        assert list(tensors(answer)) == ["INPUT-a"]
    for answer in (await mesh.answered(ids["q"])).values():
        assert list(tensors(answer)) == ["INPUT-a-b"]


async def test_a_pipeline_that_comes_later_starts_at_the_end(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    await mesh.watch("p")
    early = await mesh.send("p", 5)
    await (await engine()).create(chain(mesh.names, "p", "a").create())
    late = await mesh.send("p", 5)
    await mesh.answered(late)
    assert not set(early) & mesh.answers.keys()


async def test_records_that_make_no_sense_hurt_nobody_else(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a", "b")
    await (await engine()).create(join(mesh.names, "p", "a", "b").create())
    await mesh.watch("p")
    marks = [(headers.PIPELINE, b"p")]
    topic = mesh.names.pipeline_inputs("p")
    await mesh.writer.send(topic, b"\xff\xff", None, 0, marks)
    await mesh.writer.send(topic, None, b"0.p.nothing", 0, marks)
    await mesh.writer.send(topic, b"\x2a\xff", b"0.p.cut", 0, marks)
    await mesh.writer.send(mesh.names.model_outputs("a"), b"\x01", b"x", 0, [*marks, (headers.PIPELINE_VERSION, b"1")])
    await mesh.answered(await mesh.send("p", 10))


async def test_a_model_error_is_the_answer(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    mesh.hold("a")
    await (await engine()).create(chain(mesh.names, "p", "a").create())
    await mesh.watch("p")
    [request_id] = await mesh.send("p", 1)
    await mesh.until_asked("a", 1)
    asked = mesh.asked["a"][0]
    marks = [*asked.headers, (headers.ERROR, b"a")]
    await mesh.writer.send(mesh.names.errors, b"rpc error: code = Internal desc = x", asked.key, 0, marks)
    answer = (await mesh.answered([request_id]))[request_id]
    assert answer.value == b"rpc error: code = Internal desc = x"
    assert headers.text(answer.headers, headers.ERROR) == "a"


async def test_a_request_that_nobody_finishes_gets_an_error_before_its_deadline(mesh: Mesh, engine: MakeEngine) -> None:
    await mesh.serve("a")
    mesh.hold("a")
    await (await engine()).create(chain(mesh.names, "p", "a").create())
    await mesh.watch("p")
    deadline = int(time.time() * 1000) + 500
    [request_id] = await mesh.send("p", 1, more=[(headers.DEADLINE, str(deadline).encode())])
    answer = (await mesh.answered([request_id]))[request_id]
    assert headers.text(answer.headers, headers.ERROR_CODE) == "DEADLINE_EXCEEDED"


async def test_a_record_that_kafka_refuses_becomes_an_error_and_nothing_stays_behind(
    mesh: Mesh, engine: MakeEngine
) -> None:
    await mesh.serve("a")
    await mesh.watch("p")
    pipelines = await engine(message_max_bytes=2_000)
    await pipelines.create(chain(mesh.names, "p", "a").create())
    [request_id] = await mesh.send("p", 1, more=[("x-padding", b"x" * 3000)])
    answer = (await mesh.answered([request_id]))[request_id]
    assert headers.text(answer.headers, headers.ERROR_CODE) == "RESOURCE_EXHAUSTED"
    assert pipelines.in_flight == 0
