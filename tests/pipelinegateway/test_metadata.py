"""Metadata of pipelines out of their models', as far as it goes."""

from typing import Any

from services.pipelinegateway.core.definitions import Definition, Step
from services.pipelinegateway.core.pipeline_metadata import describe, to_proto


def _tensor(name: str) -> dict[str, Any]:
    return {"name": name, "datatype": "INT32", "shape": [-1, 16]}


MODELS = {
    "a": {"inputs": [_tensor("I0"), _tensor("I1")], "outputs": [_tensor("O0"), _tensor("O1")]},
    "b": {"inputs": [_tensor("I0")], "outputs": [_tensor("X")]},
}


def _definition(*steps: Step, outputs: tuple[str, ...] = ("b",), **others: Any) -> Definition:
    return Definition("p", "uid", 3, steps, outputs, **others)


def test_a_chain_takes_what_its_first_step_takes_and_gives_what_its_last_gives() -> None:
    found = describe(_definition(Step("a"), Step("b", ("a.outputs.O0",))), MODELS)
    assert found == {
        "name": "p",
        "versions": ["3"],
        "platform": "seldon-pipeline",
        "inputs": [_tensor("I0"), _tensor("I1")],
        "outputs": [_tensor("X")],
    }


def test_tensors_by_name_and_their_new_names() -> None:
    steps = (Step("a", ("p.inputs.U", "p.inputs.I1"), {"p.inputs.U": "I0"}),)
    found = describe(_definition(*steps, outputs=("a.outputs.O1",), output_names={"a.outputs.O1": "new"}), MODELS)
    assert [tensor["name"] for tensor in found["inputs"]] == ["U", "I1"]
    assert [tensor["name"] for tensor in found["outputs"]] == ["new"]


def test_what_is_uncertain_is_left_out() -> None:
    joined = Step("a", ("p", "b.outputs"))
    assert describe(_definition(joined), MODELS)["inputs"] == []
    assert describe(_definition(Step("a"), outputs=("a.inputs",)), MODELS)["outputs"] == []
    assert describe(_definition(Step("a"), outputs=("a",)), {})["inputs"] == []
    broken = {"a": {"inputs": [{"name": 3}], "outputs": "text"}}
    assert describe(_definition(Step("a"), outputs=("a",)), broken)["outputs"] == []


def test_as_a_message() -> None:
    message = to_proto(describe(_definition(Step("a")), MODELS))
    assert (message.name, list(message.versions), list(message.inputs[1].shape)) == ("p", ["3"], [-1, 16])
