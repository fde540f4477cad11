"""The scheduler's message about a pipeline as the gateway keeps it."""

from mlops.scheduler import scheduler_pb2 as pb

from services.pipelinegateway.routes import Definition, Step


def definition_of(pipeline: pb.Pipeline) -> Definition:
    return Definition(
        name=pipeline.name,
        uid=pipeline.uid,
        version=pipeline.version,
        steps=tuple(Step(step.name, tuple(step.inputs), dict(step.tensorMap)) for step in pipeline.steps),
        outputs=tuple(pipeline.output.steps) if pipeline.HasField("output") else None,
        output_names=dict(pipeline.output.tensorMap),
    )
