"""What dataflow engines are told, written out in full."""

from google.protobuf import text_format
from mlops.chainer import chainer_pb2 as chainer
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.dataflow_updates import creation, deletion
from shared.kafka.names import TopicNames
from tests.scheduler_pipelines.builders import normal, step

_TOPICS = TopicNames(namespace="ns")
_ERRORS = chainer.PipelineStepUpdate(
    sources=[chainer.PipelineTopic(pipelineName="p", topicName="seldon.ns.errors.errors")],
    sink=chainer.PipelineTopic(pipelineName="p", topicName="seldon.ns.pipeline.p.outputs"),
    inputJoinTy=chainer.PipelineStepUpdate.Inner,
)


def _topic(topic: str, tensor: str | None = None, pipeline: str = "p") -> chainer.PipelineTopic:
    return chainer.PipelineTopic(pipelineName=pipeline, topicName=f"seldon.ns.{topic}", tensor=tensor)


def test_a_step_alone() -> None:
    made = creation(normal("p", step("a"), uid="u", version=3, allowCycles=True, maxStepRevisits=7), _TOPICS)
    expected = text_format.Parse(
        """
        op: Create pipeline: "p" version: 3 uid: "u" allowCycles: true maxStepRevisits: 7
        pipelineOutputTopic: "seldon.ns.pipeline.p.outputs" pipelineErrorTopic: "seldon.ns.errors.errors"
        updates {
          sources { pipelineName: "p" topicName: "seldon.ns.pipeline.p.inputs" }
          sink { pipelineName: "p" topicName: "seldon.ns.model.a.inputs" }
          inputJoinTy: Inner triggersJoinTy: Inner
        }
        """,
        chainer.PipelineUpdateMessage(),
    )
    expected.updates.append(_ERRORS)
    assert made == expected


def test_everything_a_step_can_say() -> None:
    given = step(
        "b",
        "a.outputs.T",
        "a",
        "p.inputs",
        "a.outputs.T",
        triggers=["a.inputs", "p.inputs.ok"],
        inputsJoin=pb.PipelineStep.OUTER,
        triggersJoin=pb.PipelineStep.ANY,
        joinWindowMs=0,
        tensorMap={"p.inputs.X": "Y", "a.outputs.T": "U"},
        batch=pb.Batch(size=2),
    )
    update = creation(normal("p", step("a"), given), _TOPICS).updates[1]
    assert update == chainer.PipelineStepUpdate(
        sources=[_topic("model.a.outputs", "T"), _topic("pipeline.p.inputs")],
        triggers=[_topic("model.a.inputs"), _topic("pipeline.p.inputs", "ok")],
        sink=_topic("model.b.inputs"),
        inputJoinTy=chainer.PipelineStepUpdate.Outer,
        triggersJoinTy=chainer.PipelineStepUpdate.Any,
        joinWindowMs=0,
        tensorMap=[
            chainer.PipelineTensorMapping(
                pipelineName="p", topicAndTensor="seldon.ns.model.a.outputs.T", tensorName="U"
            ),
            chainer.PipelineTensorMapping(
                pipelineName="p", topicAndTensor="seldon.ns.pipeline.p.inputs.X", tensorName="Y"
            ),
        ],
        batch=chainer.Batch(size=2),
    )


def test_input_and_output() -> None:
    given = normal(
        "p",
        step("a"),
        input=pb.PipelineInput(
            externalInputs=["q", "r.step.s.outputs.T"],
            externalTriggers=["q.inputs"],
            joinType=pb.PipelineInput.ANY,
            joinWindowMs=5,
            tensorMap={"r.step.s.outputs.T": "U"},
        ),
        output=pb.PipelineOutput(
            steps=["a"], stepsJoin=pb.PipelineOutput.ANY, joinWindowMs=9, tensorMap={"a.outputs.T": "U"}
        ),
    )
    _, taken, given_out, errors = creation(given, _TOPICS).updates
    assert taken == chainer.PipelineStepUpdate(
        sources=[_topic("pipeline.q.outputs", pipeline="q"), _topic("model.s.outputs", "T", pipeline="r")],
        triggers=[_topic("pipeline.q.inputs", pipeline="q")],
        sink=_topic("pipeline.p.inputs"),
        inputJoinTy=chainer.PipelineStepUpdate.Any,
        triggersJoinTy=chainer.PipelineStepUpdate.Inner,
        joinWindowMs=5,
        tensorMap=[
            chainer.PipelineTensorMapping(
                pipelineName="r", topicAndTensor="seldon.ns.model.s.outputs.T", tensorName="U"
            )
        ],
    )
    assert given_out == chainer.PipelineStepUpdate(
        sources=[_topic("model.a.outputs")],
        sink=_topic("pipeline.p.outputs"),
        inputJoinTy=chainer.PipelineStepUpdate.Any,
        joinWindowMs=9,
        tensorMap=[
            chainer.PipelineTensorMapping(
                pipelineName="p", topicAndTensor="seldon.ns.model.a.outputs.T", tensorName="U"
            )
        ],
    )
    assert errors == _ERRORS


def test_a_deletion_names_topics_only_when_they_go_as_well() -> None:
    given = normal("p", step("a"), uid="u", version=2)
    bare = chainer.PipelineUpdateMessage(op=chainer.PipelineUpdateMessage.Delete, pipeline="p", version=2, uid="u")
    assert deletion(given, _TOPICS, with_topics=False) == bare
    bare.updates.add(sources=[_topic("pipeline.p.inputs")], sink=_topic("pipeline.p.outputs"))
    assert deletion(given, _TOPICS, with_topics=True) == bare
