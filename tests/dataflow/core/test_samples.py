"""What every sample pipeline answers, with models that compute what the real ones do."""

from typing import Any

import numpy as np
import pytest

from tests.dataflow.core.builders import NAMES, read_request, response, topology
from tests.dataflow.core.models import MODELS, OUTLIER
from tests.dataflow.core.world import World

V = [list(range(1, 17))]
E = [[2 * each for each in V[0]]]
F = [[4 * each for each in V[0]]]
Z = [[0] * 16]
O = [[1] * 16]  # noqa: E741
F4 = np.array([1, 2, 3, 4], dtype=np.float32)
SIMPLE = {"INPUT0": V, "INPUT1": V}
TO_SIMPLE = {"tfsimple1.outputs.OUTPUT0": "INPUT0", "tfsimple1.outputs.OUTPUT1": "INPUT1"}
JOINED = {
    "inputs": ["tfsimple1.outputs.OUTPUT0", "tfsimple2.outputs.OUTPUT1"],
    "tensor_map": {"tfsimple1.outputs.OUTPUT0": "INPUT0", "tfsimple2.outputs.OUTPUT1": "INPUT1"},
}
COUNTER: dict[str, Any] = {
    "counter": {"inputs": ["counter-pipeline.inputs", "identity-loop.outputs.output"], "join": "any"},
    "identity-output": {"inputs": ["counter.outputs"], "triggers": ["counter.outputs.stop"], "window": 1},
    "identity-loop": {"inputs": ["counter.outputs.output"], "triggers": ["counter.outputs.continue"], "window": 1},
}
PIPELINES: dict[str, Any] = {
    "tfsimple": ({"tfsimple1": {}}, {"steps": ["tfsimple1"]}),
    "tfsimples": (
        {"tfsimple1": {}, "tfsimple2": {"inputs": ["tfsimple1"], "tensor_map": TO_SIMPLE}},
        {"steps": ["tfsimple2"]},
    ),
    "tfsimples-input": (
        {
            "tfsimple1": {},
            "tfsimple2": {
                "inputs": ["tfsimple1.inputs.INPUT0", "tfsimple1.outputs.OUTPUT1"],
                "tensor_map": {"tfsimple1.outputs.OUTPUT1": "INPUT1"},
            },
        },
        {"steps": ["tfsimple2"]},
    ),
    "join": ({"tfsimple1": {}, "tfsimple2": {}, "tfsimple3": JOINED}, {"steps": ["tfsimple3"]}),
    "joincheck": (
        {
            "tfsimple1": {},
            "tfsimple2": {},
            "check": {"inputs": ["tfsimple1.outputs.OUTPUT0"], "tensor_map": {"tfsimple1.outputs.OUTPUT0": "INPUT"}},
            "tfsimple3": {**JOINED, "triggers": ["check.outputs.OUTPUT"]},
        },
        {"steps": ["tfsimple3"]},
    ),
    "tfsimple-conditional": (
        {
            "conditional": {},
            "mul10": {
                "inputs": ["conditional.outputs.OUTPUT0"],
                "tensor_map": {"conditional.outputs.OUTPUT0": "INPUT"},
            },
            "add10": {
                "inputs": ["conditional.outputs.OUTPUT1"],
                "tensor_map": {"conditional.outputs.OUTPUT1": "INPUT"},
            },
        },
        {"steps": ["mul10", "add10"], "join": "any"},
    ),
    "pipeline-inputs": (
        {
            "mul10": {
                "inputs": ["pipeline-inputs.inputs.INPUT0"],
                "tensor_map": {"pipeline-inputs.inputs.INPUT0": "INPUT"},
            },
            "add10": {
                "inputs": ["pipeline-inputs.inputs.INPUT1"],
                "tensor_map": {"pipeline-inputs.inputs.INPUT1": "INPUT"},
            },
        },
        {"steps": ["mul10", "add10"]},
    ),
    "trigger-joins": (
        {
            "mul10": {
                "inputs": ["trigger-joins.inputs.INPUT"],
                "triggers": ["trigger-joins.inputs.ok1", "trigger-joins.inputs.ok2"],
                "trigger_join": "any",
            },
            "add10": {"inputs": ["trigger-joins.inputs.INPUT"], "triggers": ["trigger-joins.inputs.ok3"]},
        },
        {"steps": ["mul10", "add10"], "join": "any"},
    ),
    "triggers-join-inputs": (
        {
            "join-node": {
                "inputs": ["triggers-join-inputs.inputs.INPUT1", "triggers-join-inputs.inputs.INPUT2"],
                "triggers": ["triggers-join-inputs.inputs.TRIGGER1", "triggers-join-inputs.inputs.TRIGGER2"],
                "trigger_join": "any",
            }
        },
        {"steps": ["join-node"]},
    ),
    "triggers-join-internal": (
        {
            "id1-node": {
                "inputs": ["triggers-join-internal.inputs.TRIGGER1"],
                "tensor_map": {"triggers-join-internal.inputs.TRIGGER1": "INPUT1"},
            },
            "id2-node": {
                "inputs": ["triggers-join-internal.inputs.TRIGGER2"],
                "tensor_map": {"triggers-join-internal.inputs.TRIGGER2": "INPUT1"},
            },
            "join-node": {
                "inputs": ["triggers-join-internal.inputs.INPUT1", "triggers-join-internal.inputs.INPUT2"],
                "triggers": ["id1-node.outputs.OUTPUT1", "id2-node.outputs.OUTPUT1"],
                "trigger_join": "any",
            },
        },
        {"steps": ["join-node"]},
    ),
    "choice": (
        {
            "choice-is-one": {},
            "mul10": {"inputs": ["choice.inputs.INPUT"], "triggers": ["choice-is-one.outputs.choice"]},
            "choice-is-two": {},
            "add10": {"inputs": ["choice.inputs.INPUT"], "triggers": ["choice-is-two.outputs.choice"]},
        },
        {"steps": ["mul10", "add10"], "join": "any"},
    ),
    "error": ({"outlier-error": {}}, {"steps": ["outlier-error"]}),
    "outlier": ({"outlier-error": {}, "add10": {"triggers": ["outlier-error"]}}, {"steps": ["add10"]}),
    "pipeline-add10": ({"add10": {}}, {"steps": ["add10"]}),
    "pipeline-mul10": ({"mul10": {}}, {"steps": ["mul10"]}),
}

MUL, ADD = [("OUTPUT", [10.0, 20.0, 30.0, 40.0])], [("OUTPUT", [11.0, 12.0, 13.0, 14.0])]
OUTLIER_INPUT = np.array([100, 2, 3, 4], dtype=np.float32)
TWO = np.array([1])
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("tfsimple", SIMPLE, [("OUTPUT0", E), ("OUTPUT1", Z)]),
    ("tfsimples", SIMPLE, [("OUTPUT0", E), ("OUTPUT1", E)]),
    (
        "tfsimples",
        {"INPUT0": [[1] * 20], "INPUT1": V},
        "tfsimple1 : rpc error: code = InvalidArgument desc = Expected [-1,16], got [1, 20]",
    ),
    ("tfsimples-input", SIMPLE, [("OUTPUT0", V), ("OUTPUT1", V)]),
    ("join", SIMPLE, [("OUTPUT0", E), ("OUTPUT1", E)]),
    ("joincheck", {"INPUT0": O, "INPUT1": O}, [("OUTPUT0", [[2] * 16]), ("OUTPUT1", [[2] * 16])]),
    ("joincheck", SIMPLE, f"check : {OUTLIER}"),
    ("tfsimple-conditional", {"CHOICE": [0], "INPUT0": F4, "INPUT1": F4}, MUL),
    ("tfsimple-conditional", {"CHOICE": [1], "INPUT0": F4, "INPUT1": F4}, ADD),
    ("pipeline-inputs", {"INPUT0": F4, "INPUT1": F4}, MUL + ADD),
    ("trigger-joins", {"INPUT": F4, "ok1": [1]}, MUL),
    ("trigger-joins", {"INPUT": F4, "ok2": [1]}, MUL),
    ("trigger-joins", {"INPUT": F4, "ok3": [1]}, ADD),
    (
        "trigger-joins",
        {"INPUT": F4},
        "trigger-joins : step mul10 was not triggered: trigger-joins.inputs has none of the tensors ok1, ok2; "
        "step add10 was not triggered: trigger-joins.inputs has no tensor ok3",
    ),
    ("triggers-join-inputs", {"INPUT1": TWO, "INPUT2": TWO, "TRIGGER1": [1]}, [("OUTPUT1", [2])]),
    ("triggers-join-inputs", {"INPUT1": TWO, "INPUT2": TWO, "TRIGGER1": [1], "TRIGGER2": [1]}, [("OUTPUT1", [2])]),
    ("triggers-join-internal", {"INPUT1": TWO, "INPUT2": TWO, "TRIGGER2": [1]}, [("OUTPUT1", [2])]),
    ("triggers-join-internal", {"INPUT1": TWO, "INPUT2": TWO, "TRIGGER1": [1], "TRIGGER2": [1]}, [("OUTPUT1", [2])]),
    ("choice", {"choice": [1], "INPUT": F4 + 4}, [("OUTPUT", [50.0, 60.0, 70.0, 80.0])]),
    ("choice", {"choice": [2], "INPUT": F4 + 4}, [("OUTPUT", [15.0, 16.0, 17.0, 18.0])]),
    ("error", {"INPUT": F4}, MUL),
    ("error", {"INPUT": OUTLIER_INPUT}, f"outlier-error : {OUTLIER}"),
    ("outlier", {"INPUT": F4}, ADD),
    ("outlier", {"INPUT": OUTLIER_INPUT}, f"outlier-error : {OUTLIER}"),
    ("pipeline-add10", {"INPUT": F4}, ADD),
    ("pipeline-mul10", {"INPUT": F4}, MUL),
]


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize(("name", "content", "expected"), CASES)
def test_answers_as_documented(name: str, content: dict[str, Any], expected: Any, raw: bool) -> None:
    steps, output = PIPELINES[name]
    world = World(topology(name, steps, output), MODELS, raw=raw).send(content, deadline=60_000).run()
    assert world.answered == expected
    assert world.problems == []
    world.check_done()


def test_a_counter_goes_round_until_it_may_stop() -> None:
    shape = topology("counter-pipeline", COUNTER, {"steps": ["identity-output.outputs"]}, cycles=100)
    world = World(shape, MODELS).send({"counter": [[0]]}).run()
    assert world.answered == [("output", [[10]]), ("stop", [[b""]])]
    assert len(world.inputs_of("counter")) == 10
    assert len(world.inputs_of("identity-output")) == 1
    world.check_done()


INTAKES: dict[str, Any] = {
    "tfsimple-extended": {
        "inputs": ["tfsimple.outputs"],
        "tensor_map": {"tfsimple.outputs.OUTPUT0": "INPUT0", "tfsimple.outputs.OUTPUT1": "INPUT1"},
    },
    "tfsimple-extended-step": {
        "inputs": ["tfsimple.step.tfsimple1.outputs"],
        "tensor_map": {
            "tfsimple.step.tfsimple1.outputs.OUTPUT0": "INPUT0",
            "tfsimple.step.tfsimple1.outputs.OUTPUT1": "INPUT1",
        },
    },
    "tfsimple-combined": {
        "inputs": ["tfsimple-extended.outputs.OUTPUT0", "tfsimple-extended2.outputs.OUTPUT1"],
        "tensor_map": {
            "tfsimple-extended.outputs.OUTPUT0": "INPUT0",
            "tfsimple-extended2.outputs.OUTPUT1": "INPUT1",
        },
    },
    "tfsimple-combined-trigger": {
        "inputs": ["tfsimple-extended.outputs"],
        "triggers": ["tfsimple-extended2.outputs"],
        "tensor_map": {
            "tfsimple-extended.outputs.OUTPUT0": "INPUT0",
            "tfsimple-extended.outputs.OUTPUT1": "INPUT1",
        },
    },
    "tfsimple-combined-step": {
        "inputs": [
            "tfsimple-extended.step.tfsimple2.outputs.OUTPUT0",
            "tfsimple-extended2.step.tfsimple2.outputs.OUTPUT0",
        ],
        "tensor_map": {
            "tfsimple-extended.step.tfsimple2.outputs.OUTPUT0": "INPUT0",
            "tfsimple-extended2.step.tfsimple2.outputs.OUTPUT0": "INPUT1",
        },
    },
}
CHAINED: list[tuple[str, list[tuple[str, str]], Any, Any, Any]] = [
    ("tfsimple-extended", [(NAMES.pipeline_outputs("tfsimple"), "tfsimple")], (E, Z), (E, Z), (E, E)),
    ("tfsimple-extended-step", [(NAMES.model_outputs("tfsimple1"), "tfsimple")], (E, Z), (E, Z), (E, E)),
    (
        "tfsimple-combined",
        [
            (NAMES.pipeline_outputs("tfsimple-extended"), "tfsimple-extended"),
            (NAMES.pipeline_outputs("tfsimple-extended2"), "tfsimple-extended2"),
        ],
        (E, E),
        (E, E),
        (F, Z),
    ),
    (
        "tfsimple-combined-trigger",
        [
            (NAMES.pipeline_outputs("tfsimple-extended2"), "tfsimple-extended2"),
            (NAMES.pipeline_outputs("tfsimple-extended"), "tfsimple-extended"),
        ],
        (E, E),
        (E, E),
        (F, Z),
    ),
    (
        "tfsimple-combined-step",
        [
            (NAMES.model_outputs("tfsimple2"), "tfsimple-extended"),
            (NAMES.model_outputs("tfsimple2"), "tfsimple-extended2"),
        ],
        (E, E),
        (E, E),
        (F, Z),
    ),
]


@pytest.mark.parametrize(("name", "sources", "given", "inputs", "outputs"), CHAINED)
def test_pipelines_feed_pipelines(name: str, sources: Any, given: Any, inputs: Any, outputs: Any) -> None:
    shape = topology(name, {"tfsimple2": {}}, {"steps": ["tfsimple2"]}, intake=INTAKES[name])
    world = World(shape, MODELS)
    for source, owner in sources:
        headers = [("pipeline", owner.encode()), ("x-pipeline-version", b"7"), ("seldon-deadline-ms", b"1000001")]
        value = response({"OUTPUT0": given[0], "OUTPUT1": given[1]}, model_name="x")
        world.put(source, b"3.tfsimple.a", value, headers)
    world.run()
    (record,) = world.on(shape.input_topic)
    assert (record.key, record.partition) == (b"3.tfsimple.a", 3)
    assert record.headers == [("pipeline", name.encode()), ("x-pipeline-version", b"1")]
    assert read_request(record.value) == [("INPUT0", inputs[0]), ("INPUT1", inputs[1])]
    assert world.answered == [("OUTPUT0", outputs[0]), ("OUTPUT1", outputs[1])]
    world.check_done()
