"""Pipelines with cycles: gates, the guard against going round for ever, duplicates, restarts."""

from typing import Any

import numpy as np
import pytest

from shared.kafka.headers import ERROR
from tests.dataflow.core.builders import NAMES, response, topology
from tests.dataflow.core.models import MODELS
from tests.dataflow.core.test_samples import COUNTER
from tests.dataflow.core.world import ModelError, World, members

OUTPUT = {"steps": ["identity-output.outputs"]}
DONE = [("output", [[10]]), ("stop", [[b""]])]


def counter(revisits: int = 100, **changes: Any) -> World:
    steps = {**COUNTER, **changes}
    return World(topology("counter-pipeline", steps, OUTPUT, cycles=revisits), MODELS)


def test_the_guard_lets_a_step_be_visited_once_more_than_it_may_be_revisited() -> None:
    assert counter(9).send({"counter": [[0]]}).run().answered == DONE


def test_the_guard_ends_a_request_that_goes_round_too_often() -> None:
    flow = counter(8).send({"counter": [[0]]}, "1.c.x").run()
    text = (
        "ERROR: Max step revisits (8) exceeded for request 1.c.x in topic TopicForPipeline("
        "topicName=seldon.default.model.counter.inputs, pipelineName=counter-pipeline)"
    )
    assert flow.answered == f"counter-pipeline : {text}"
    (error,) = flow.on(NAMES.errors)
    assert (error.value.decode(), dict(error.headers)[ERROR], error.key) == (text, b"counter-pipeline", b"1.c.x")
    assert len(flow.inputs_of("counter")) == 9
    flow.put(NAMES.errors, error.key, error.value, error.headers)
    flow.check_done()


def test_the_end_does_not_wait_for_the_gate_that_stays_closed() -> None:
    flow = counter().send({"counter": [[9]]}).run()
    assert flow.answered == DONE
    assert flow.inputs_of("identity-loop") == []
    assert flow.now == 1_000_000
    flow.check_done()


def test_a_slow_model_is_not_cut_by_the_window_of_the_gates() -> None:
    flow = counter().send({"counter": [[8]]}, deadline=60_000)
    while flow.pass_time(5_000).answer():
        pass
    assert flow.answered == DONE


def test_the_deadline_names_the_model_that_is_waited_for() -> None:
    flow = counter().send({"counter": [[8]]}, deadline=1_000)
    flow.answer()
    flow.pass_time(1_000)
    expected = "no answer within the deadline: waiting for model identity-loop [DEADLINE_EXCEEDED]"
    assert flow.answered == f"counter-pipeline : {expected}"
    flow.run()
    flow.check_done()


def test_nothing_under_way_and_no_output_is_the_end() -> None:
    models = {**MODELS, "counter": lambda tensors: {"output": tensors["counter"]}}
    shape = topology("counter-pipeline", COUNTER, OUTPUT, cycles=5)
    flow = World(shape, models).send({"counter": [[0]]}).run()
    assert flow.answered == "counter-pipeline : nothing more can come, and the output has not"
    flow.check_done()


def test_a_failure_in_a_round_reaches_the_caller() -> None:
    def fail(_: Any) -> Any:
        raise ModelError("broken")

    shape = topology("counter-pipeline", COUNTER, OUTPUT, cycles=50)
    flow = World(shape, {**MODELS, "identity-loop": fail}).send({"counter": [[0]]}).run()
    assert flow.answered == "identity-loop : broken"
    flow.check_done()


def test_double_answers_start_no_second_loop() -> None:
    flow = counter().send({"counter": [[0]]})
    while flow.asked:
        record = flow.asked[0]
        flow.answer()
        step = record.topic.split(".")[3]
        if step == "counter":
            again = response(MODELS["counter"]({"counter": [[99]]}))
            flow.put(NAMES.model_outputs(step), record.key, again, record.headers)
    assert flow.answered == DONE
    assert len(flow.inputs_of("counter")) == 10
    flow.check_done()


def test_what_comes_once_is_there_for_every_round() -> None:
    """Adds the same number from the input again and again, until the sum is large enough."""
    steps = {
        "add": {"inputs": ["p.inputs.step", "gate.outputs.sum"], "join": "outer"},
        "gate": {"inputs": ["add.outputs"]},
    }
    models = {
        "add": lambda tensors: {"sum": np.array(tensors.get("sum", [0])) + np.array(tensors["step"])},
        "gate": lambda tensors: {"sum" if tensors["sum"][0] < 12 else "done": np.array(tensors["sum"])},
    }
    shape = topology("p", steps, {"steps": ["gate.outputs.done"]}, cycles=10)
    flow = World(shape, models).send({"step": [5]}).run()
    assert flow.answered == [("done", [15])]
    assert flow.inputs_of("add")[1:] == [[("step", [5]), ("sum", [5])], [("step", [5]), ("sum", [10])]]
    flow.check_done()


def test_a_batch_goes_round_together() -> None:
    def count(tensors: dict[str, Any]) -> dict[str, Any]:
        counts = np.array(tensors.get("output", tensors.get("counter"))) + 1
        gate = "continue" if counts.max() < 10 else "stop"
        return {"output": counts, gate: [[b""]] * len(counts)}

    flow = counter(100, counter={**COUNTER["counter"], "batch": 2})
    flow.models = {**MODELS, "counter": count}
    flow.send({"counter": [[0]]}, "0.c.x").send({"counter": [[0]]}, "0.c.y").run()
    assert members(flow.on(NAMES.model_inputs("counter"))[3]) == "1/0.c.x/3,1/0.c.y/3"
    assert flow.answers() == {"0.c.x": DONE, "0.c.y": DONE}
    flow.check_done()


@pytest.mark.parametrize("crash", range(1, 45))
def test_a_restart_at_any_moment_ends_in_one_right_answer(crash: int) -> None:
    first = counter().send({"counter": [[0]]})
    log: list[Any] = []
    original = first.put

    def put(topic: str, *rest: Any) -> Any:
        log.append((topic, *rest))
        return original(topic, *rest)

    first.put = put  # type: ignore[method-assign, assignment]
    for _ in range(crash):
        if not first.answer():
            break
    second = counter()
    for record in first.log:
        second.flow.emitted_before(record.topic, record.key, record.headers)
    second.asked = list(first.asked)
    # Each topic in its own order, one after the other: the results of later rounds before the request itself.
    for topic in sorted({topic for topic, *_ in log}):
        for entry in [entry for entry in log if entry[0] == topic]:
            second.put(*entry)
    second.send({"counter": [[0]]})
    second.run()
    written = first.log + second.log
    assert [record.topic for record in written].count(second.shape.output_topic) == 1
    assert [record.topic for record in written].count(NAMES.model_inputs("counter")) == 10
    assert (first.answers() | second.answers()) == {"0.p.a": DONE}
    second.check_done()
