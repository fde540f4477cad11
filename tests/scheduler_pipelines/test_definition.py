"""Every rule of a definition, each fault with its sentence."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.cycles import check_across
from services.scheduler.core.pipelines.dataflow_updates import creation
from services.scheduler.core.pipelines.definition import normalise, validate
from shared.errors import RejectedRequest
from shared.kafka.names import TopicNames
from tests.scheduler_pipelines.builders import normal, pipeline, step

_OUT = pb.PipelineOutput
_IN = pb.PipelineInput


def test_bare_names_get_their_direction() -> None:
    given = pipeline(
        "p",
        step("a"),
        step("b", "a", "p", "a.inputs", "a.outputs.T", triggers=["a", "p"]),
        output=_OUT(steps=["b", "a.outputs.T"]),
        input=_IN(externalInputs=["q", "q.step.s", "q.inputs", "q.step.s.outputs.T"], externalTriggers=["r"]),
    )
    made = normalise(given)
    assert list(made.steps[1].inputs) == ["a.outputs", "p.inputs", "a.inputs", "a.outputs.T"]
    assert list(made.steps[1].triggers) == ["a.outputs", "p.inputs"]
    assert list(made.output.steps) == ["b.outputs", "a.outputs.T"]
    assert list(made.input.externalInputs) == ["q.outputs", "q.step.s.outputs", "q.inputs", "q.step.s.outputs.T"]
    assert list(made.input.externalTriggers) == ["r.outputs"]
    assert list(given.steps[1].inputs) == ["a", "p", "a.inputs", "a.outputs.T"], "the original is left as it was"


def test_batches_that_say_nothing_are_left_out() -> None:
    made = normal("p", step("a", batch=pb.Batch()), step("b", batch=pb.Batch(size=2, windowMs=0)))
    assert not made.steps[0].HasField("batch")
    assert made.steps[1].batch == pb.Batch(size=2)


_name = st.text(alphabet="abp.", max_size=8) | st.sampled_from(["p", "a", "q.step.s", "p.inputs", "a.outputs.T"])
_names = st.lists(_name, max_size=3)
_steps = st.builds(
    pb.PipelineStep,
    name=_name,
    inputs=_names,
    triggers=_names,
    tensorMap=st.dictionaries(_name, _name, max_size=2),
    batch=st.none() | st.builds(pb.Batch, size=st.none() | st.integers(0, 3), windowMs=st.none() | st.integers(0, 3)),
)
_pipelines = st.builds(
    pb.Pipeline,
    name=_name,
    steps=st.lists(_steps, max_size=3),
    output=st.none() | st.builds(_OUT, steps=_names),
    input=st.none() | st.builds(_IN, externalInputs=_names, externalTriggers=_names),
)


@given(_pipelines)
def test_normal_stays_normal(given: pb.Pipeline) -> None:
    once = normalise(given)
    assert normalise(once) == once


@given(_pipelines)
def test_any_definition_is_rejected_or_can_be_run(given: pb.Pipeline) -> None:
    made = normalise(given)
    try:
        validate(made)
    except RejectedRequest:
        return
    check_across({}, pb.Pipeline(name="another", input=made.input))
    updates = creation(made, TopicNames()).updates
    assert len(updates) == len(made.steps) + made.HasField("input") + made.HasField("output") + 1


_FAULTS = {
    "repeated step": (pipeline("p", step("a"), step("a")), "pipeline p has repeated step a"),
    "repeated before name": (pipeline("P!", step("a"), step("a")), "pipeline P! has repeated step a"),
    "name": (pipeline("my_p", step("a")), "pipeline does not have a valid name 'my_p'"),
    "no steps": (pipeline("p"), "pipeline p has no steps defined"),
    "own name": (
        pipeline("p", step("a"), step("p", "nowhere.what")),
        "pipeline p must not have a step name with the same name as pipeline name",
    ),
    "step name": (pipeline("p", step("a.b")), "pipeline p step does not have a valid name 'a.b'"),
    "no step name": (pipeline("p", step("")), "pipeline p step does not have a valid name ''"),
    "empty input": (pipeline("p", step("a", "")), "pipeline p step a has an empty input"),
    "blank input": (pipeline("p", step("a", "  ")), "pipeline p step a has an empty input"),
    "dot input": (pipeline("p", step("a", ".outputs")), "pipeline p step a has an empty input"),
    "long input": (
        pipeline("p", step("a", "p.inputs.x.y")),
        "pipeline p step a has a bad input specifier p.inputs.x.y",
    ),
    "word of input": (
        pipeline("p", step("a", "p.input")),
        "pipeline p step a has a bad input specifier p.input: 'input' is neither inputs nor outputs",
    ),
    "input tensor": (pipeline("p", step("a", "p.inputs.")), "pipeline p step a has a bad input specifier p.inputs."),
    "own outputs": (pipeline("p", step("a", "p.outputs")), "pipeline p step a has a bad input specifier p.outputs"),
    "empty trigger": (pipeline("p", step("a", triggers=[""])), "pipeline p step a has an empty trigger"),
    "trigger word": (pipeline("p", step("a", triggers=["p.x"])), "pipeline p step a has a bad trigger specifier p.x"),
    "inputs before triggers": (
        pipeline("p", step("a", triggers=[""]), step("b", "")),
        "pipeline p step b has an empty input",
    ),
    "unknown input": (
        pipeline("p", step("a", "ghost")),
        "pipeline p step a has input ghost.outputs for step that does not exist: the steps are a",
    ),
    "unknown trigger": (
        pipeline("p", step("a", triggers=["ghost.outputs.T"])),
        "pipeline p step a has trigger ghost.outputs.T for step that does not exist: the steps are a",
    ),
    "unknown output": (pipeline("p", step("a"), output=_OUT(steps=["b"])), "pipeline p output step b not found"),
    "own name as output": (pipeline("p", step("a"), output=_OUT(steps=["p"])), "pipeline p output step p not found"),
    "empty output": (pipeline("p", step("a"), output=_OUT(steps=[""])), "pipeline p output step  not found"),
    "no output": (pipeline("p", step("a"), output=_OUT()), "pipeline p has an output without steps"),
    "output word": (
        pipeline("p", step("a"), output=_OUT(steps=["a.result"])),
        "pipeline p has a bad output specifier a.result: 'result' is neither inputs nor outputs",
    ),
    "self reference": (pipeline("p", step("a", "a")), "pipeline p has a cycle: a -> a"),
    "cycle": (pipeline("p", step("a", "b"), step("b", "a")), "pipeline p has a cycle: a -> b -> a"),
    "cycle by trigger": (
        pipeline("p", step("x"), step("a", "x", triggers=["c"]), step("b", "a"), step("c", "b.outputs.T")),
        "pipeline p has a cycle: a -> b -> c -> a",
    ),
    "input and trigger": (
        pipeline("p", step("a"), step("b", "a", triggers=["a.outputs"])),
        "pipeline p step b has a.outputs as input and as trigger: inputs and triggers must differ",
    ),
    "input of nothing": (
        pipeline("p", step("a"), input=_IN(externalTriggers=["q"])),
        "pipeline p has an invalid pipeline input: it has no externalInputs",
    ),
    "empty external": (
        pipeline("p", step("a"), input=_IN(externalInputs=[""])),
        "pipeline p has an invalid pipeline input: externalInputs has an empty entry",
    ),
    "external word": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q.s.outputs"])),
        "pipeline p has an invalid pipeline input q.s.outputs in externalInputs: 's' must be inputs, outputs or step",
    ),
    "external step": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q.step.s.output"])),
        "pipeline p has an invalid pipeline input q.step.s.output in externalInputs: "
        "'output' is neither inputs nor outputs",
    ),
    "external without step": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q.step"])),
        "pipeline p has an invalid pipeline input q.step in externalInputs: it names no step",
    ),
    "external parts": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q.step.s.outputs.T.U"])),
        "pipeline p has an invalid pipeline input q.step.s.outputs.T.U in externalInputs: it has too many parts",
    ),
    "external trigger": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q"], externalTriggers=["r.s"])),
        "pipeline p has an invalid pipeline input r.s in externalTriggers",
    ),
    "external twice": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q"], externalTriggers=["q.outputs"])),
        "pipeline p has an invalid pipeline input: it has q.outputs as input and as trigger",
    ),
    "tensorMap key": (
        pipeline("p", step("a", tensorMap={"p.input.T": "U"})),
        "pipeline p step a has a bad tensorMap key p.input.T",
    ),
    "tensorMap without tensor": (
        pipeline("p", step("a", tensorMap={"p.inputs": "U"})),
        "pipeline p step a has a bad tensorMap key p.inputs: it names no tensor",
    ),
    "tensorMap of another": (
        pipeline("p", step("a"), step("b", tensorMap={"a.outputs.T": "U"})),
        "pipeline p step b has a tensorMap key a.outputs.T that none of its inputs carries",
    ),
    "tensorMap not selected": (
        pipeline("p", step("a"), step("b", "a", "a.outputs.T", tensorMap={"a.outputs.U": "V"})),
        "pipeline p step b has a tensorMap key a.outputs.U that none of its inputs carries",
    ),
    "tensorMap to nothing": (
        pipeline("p", step("a", tensorMap={"p.inputs.T": " "})),
        "pipeline p step a has tensorMap key p.inputs.T without a new name",
    ),
    "tensorMap of output": (
        pipeline("p", step("a"), output=_OUT(steps=["a"], tensorMap={"b.outputs.T": "U"})),
        "pipeline p output has a tensorMap key b.outputs.T that none of its inputs carries",
    ),
    "tensorMap of input": (
        pipeline("p", step("a"), input=_IN(externalInputs=["q"], tensorMap={"q.inputs.T": "U"})),
        "pipeline p input has a tensorMap key q.inputs.T that none of its inputs carries",
    ),
    "batch size": (
        pipeline("p", step("a", batch=pb.Batch(size=0))),
        "pipeline p step a has a batch without batch.size",
    ),
    "batch window": (
        pipeline("p", step("a", batch=pb.Batch(windowMs=5))),
        "pipeline p step a has a batch without batch.size",
    ),
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_every_fault_has_its_sentence(fault: str) -> None:
    given, sentence = _FAULTS[fault]
    with pytest.raises(RejectedRequest, match=re.escape(sentence)) as raised:
        validate(normalise(given))
    assert str(raised.value).startswith(sentence)


def test_unknown_joins_are_refused() -> None:
    joined = pb.Pipeline.FromString(
        pipeline("p", step("a")).SerializeToString() + b"\x22\x05\x0a\x01b\x28\x07"  # a step b with inputsJoin = 7
    )
    with pytest.raises(RejectedRequest, match=re.escape("pipeline p step b has inputsJoin 7: use INNER (0)")):
        validate(normalise(joined))


def test_what_is_allowed() -> None:
    validate(
        normal(
            "p",
            step("a", tensorMap={"p.inputs.T": "U"}, batch=pb.Batch(size=2, windowMs=5)),
            step("b", "a.outputs.T", "p", triggers=["a.outputs.OK"], tensorMap={"a.outputs.T": "X", "p.inputs.Y": "Z"}),
            output=_OUT(steps=["b", "a.inputs"], tensorMap={"a.inputs.U": "V"}),
            input=_IN(
                externalInputs=["q", "q.step.s", "q.inputs.T"],
                externalTriggers=["r"],
                tensorMap={"q.step.s.outputs.T": "U", "q.inputs.T": "V"},
            ),
        )
    )
    validate(normal("p", step("a", "b"), step("b", "a"), allowCycles=True))
