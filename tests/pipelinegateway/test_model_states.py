"""Which models an answer needs, and how they stand, without a scheduler."""

import pytest
from mlops.scheduler import scheduler_pb2 as pb

from services.pipelinegateway.core.definitions import definition_of
from services.pipelinegateway.core.model_states import ModelStates, Standing
from tests.pipelinegateway.scheduler import pipeline

INNER, OUTER, ANY = pb.PipelineStep.INNER, pb.PipelineStep.OUTER, pb.PipelineStep.ANY


def status(name: str, state: str, available: int = 0, deleted: bool = False) -> pb.ModelStatusResponse:
    message = pb.ModelStatusResponse(modelName=name, deleted=deleted, versions=[pb.ModelVersionStatus()])
    message.versions[0].state.state = pb.ModelStatus.ModelState.Value(state)
    message.versions[0].state.availableReplicas = available
    return message


@pytest.mark.parametrize(
    ("state", "available", "standing"),
    [
        ("ModelAvailable", 1, Standing.SERVES),
        ("ModelProgressing", 0, Standing.COMING),
        ("ModelStateUnknown", 0, Standing.COMING),
        ("ModelProgressing", 1, Standing.SERVES),
        ("ModelFailed", 1, Standing.SERVES),
        ("ModelFailed", 0, Standing.ABSENT),
        ("ScheduleFailed", 0, Standing.ABSENT),
        ("ModelScaledDown", 0, Standing.ABSENT),
        ("ModelTerminating", 1, Standing.ABSENT),
        ("ModelTerminated", 0, Standing.ABSENT),
    ],
)
def test_standing(state: str, available: int, standing: Standing) -> None:
    states = ModelStates()
    states.tell(status("m", state, available))
    assert states.standing("m") is standing


def test_who_was_not_told_of_is_absent_once_all_were() -> None:
    states = ModelStates()
    assert states.standing("m") is Standing.SERVES
    first = states.begin()
    states.tell(status("m", "ModelAvailable"))
    states.complete(first)
    assert states.standing("m") is Standing.SERVES
    assert (states.standing("other"), states.reason("other")) == (Standing.ABSENT, "is not loaded")
    # After a new subscription everything is told again, and what is not has gone meanwhile.
    second = states.begin()
    states.complete(first)
    assert states.standing("m") is Standing.SERVES
    states.complete(second)
    assert states.standing("m") is Standing.ABSENT


def test_a_chain_needs_all_its_steps() -> None:
    assert definition_of(pipeline("p", steps=("a", "b", "c"))).needed == ("c", "b", "a")


def test_side_branches_and_alternatives_are_not_needed() -> None:
    made = pb.Pipeline(name="p")
    made.steps.add(name="a")
    made.steps.add(name="left", inputs=["a.outputs.X"])
    made.steps.add(name="right", inputs=["p.inputs.Y"])
    made.steps.add(name="gate", inputs=["p"])
    made.steps.add(name="join", inputs=["left", "right"], inputsJoin=ANY, triggers=["gate.outputs.ok"])
    made.steps.add(name="aside", inputs=["join"])
    made.output.steps.append("join.outputs")
    assert definition_of(made).needed == ("join", "gate")
    made.steps[4].inputsJoin = INNER
    assert set(definition_of(made).needed) == {"join", "left", "right", "gate", "a"}
    made.output.steps.append("aside")
    made.output.stepsJoin = pb.PipelineOutput.OUTER
    assert definition_of(made).needed == ()


def test_a_cycle_ends() -> None:
    made = pb.Pipeline(name="p")
    made.steps.add(name="a", inputs=["b"])
    made.steps.add(name="b", inputs=["a"])
    made.output.steps.append("b")
    assert set(definition_of(made).needed) == {"a", "b"}
