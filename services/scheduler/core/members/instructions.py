"""Instructions to members as the messages that they read."""

from mlops.chainer import chainer_pb2
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import Tell
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.members.rounds import Operation
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.models.status import model_status
from services.scheduler.core.pipelines.dataflow_updates import creation, deletion
from services.scheduler.core.state import State
from shared import owners
from shared.kafka.names import TopicNames

MemberMessage = pb.ModelStatusResponse | pb.PipelineStatusResponse | chainer_pb2.PipelineUpdateMessage


def instruction_message(
    tell: Tell, state: State, model_gateways: ModelGateways, topics: TopicNames
) -> MemberMessage | None:
    """The message for one member; None when what it is about has been forgotten meanwhile."""
    if tell.kind is Kind.MODEL_GATEWAY:
        return _to_model_gateway(tell, state, model_gateways)
    if tell.pipeline is None:
        return None
    if tell.kind is Kind.PIPELINE_GATEWAY:
        return _to_pipeline_gateway(tell, tell.pipeline)
    return _to_engine(tell, tell.pipeline, topics)


def _to_model_gateway(tell: Tell, state: State, model_gateways: ModelGateways) -> pb.ModelStatusResponse | None:
    model, told = state.models.get(tell.resource), tell.instruction
    if model is None:
        return None
    message = model_status(model, model_gateways)
    # An instruction is about the version of its round, which the answer repeats.
    message.versions[0].version = told.deployment.version
    message.timestamp, message.keepTopics = told.timestamp, not told.with_topics
    creates = told.operation is Operation.CREATE
    message.operation = pb.ModelStatusResponse.ModelCreate if creates else pb.ModelStatusResponse.ModelDelete
    owners.attach(message, told.owners)
    return message


def _to_pipeline_gateway(tell: Tell, pipeline: pb.Pipeline) -> pb.PipelineStatusResponse:
    told = tell.instruction
    creates = told.operation is Operation.CREATE
    message = pb.PipelineStatusResponse(
        pipelineName=pipeline.name,
        versions=[
            pb.PipelineWithState(pipeline=pipeline, state=pb.PipelineVersionState(pipelineVersion=pipeline.version))
        ],
        timestamp=told.timestamp,
        operation=pb.PipelineStatusResponse.PipelineCreate if creates else pb.PipelineStatusResponse.PipelineDelete,
    )
    owners.attach(message, told.owners)
    return message


def _to_engine(tell: Tell, pipeline: pb.Pipeline, topics: TopicNames) -> chainer_pb2.PipelineUpdateMessage:
    told = tell.instruction
    if told.operation is Operation.CREATE:
        message = creation(pipeline, topics)
    else:
        message = deletion(pipeline, topics, with_topics=told.with_topics)
    message.timestamp, message.stream = told.timestamp, told.member
    owners.attach(message, told.owners)
    return message
