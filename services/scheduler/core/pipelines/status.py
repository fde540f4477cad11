"""The state of pipelines as the messages that clients and subscribers read."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.summary import Progress, Summary, summarise
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.pipelines.readiness import unready_models
from services.scheduler.core.pipelines.state import Pipeline, Pipelines, PipelineVersion
from services.scheduler.core.routing import NO_GATEWAY
from services.scheduler.core.state import State
from services.scheduler.core.times import timestamp

_REMOVED: Final = "pipeline removed"
_STATUS: Final[Mapping[Progress, str]] = {
    Progress.WANTED: "PipelineCreate",
    Progress.STARTING: "PipelineCreating",
    Progress.READY: "PipelineReady",
    Progress.REBALANCING: "PipelineRebalancing",
    Progress.FAILED: "PipelineFailed",
    Progress.UNWANTED: "PipelineTerminate",
    Progress.STOPPING: "PipelineTerminating",
    Progress.STOP_FAILED: "PipelineFailedTerminating",
    Progress.STOPPED: "PipelineTerminated",
}


class Status(NamedTuple):
    """`state` is a name of `PipelineVersionState.PipelineStatus`."""

    state: str
    reason: str


def engine_status(pipelines: Pipelines, pipeline: Pipeline, version: PipelineVersion) -> Status:
    """How far the dataflow engines are with a version."""
    summary = summarise(pipelines.engines, pipeline.name, version.engine)
    if not pipeline.is_ending:
        return _named(summary, "Not latest version" if version.superseded else "")
    if not pipeline.deleted:
        return _waits_for_its_name(pipeline)
    if version.engine.wanted:
        return Status("PipelineTerminate", f"{_REMOVED}: {_until_drained(pipeline)}")
    return _named(summary, _REMOVED)


def gateway_status(pipelines: Pipelines, pipeline: Pipeline, version: PipelineVersion) -> Status:
    """How far the pipeline gateways are with a version; they know only the latest one."""
    if version is not pipeline.latest:
        return Status("PipelineTerminated", "Not latest version") if version.superseded else Status("PipelineReady", "")
    if pipeline.is_ending and not pipeline.deleted:
        return _waits_for_its_name(pipeline)
    summary = summarise(pipelines.gateways, pipelines.gateway_key(pipeline.name), pipeline.gateway)
    if pipeline.deleted:
        return _named(summary, _REMOVED)
    if summary.progress is not Progress.READY or pipeline.acked:
        return _named(summary, "")
    if pipeline.route_error:
        state = "PipelineFailed" if pipeline.taken == NO_GATEWAY else "PipelineReady"
        return Status(state, f"Envoy refuses its route: {pipeline.route_error}")
    if pipeline.taken == NO_GATEWAY:
        return Status("PipelineCreating", "waiting for Envoy to take its route")
    return _named(summary, "")


def pipeline_status(
    pipelines: Pipelines, pipeline: Pipeline, state: State, model_gateways: ModelGateways, *, all_versions: bool = False
) -> pb.PipelineStatusResponse:
    """The latest version, or every version that is still known, oldest first."""
    versions = list(pipeline.ordered()) if all_versions else [pipeline.latest]
    return pb.PipelineStatusResponse(
        pipelineName=pipeline.name,
        versions=[_version(pipelines, pipeline, version, state, model_gateways) for version in versions],
    )


def _version(
    pipelines: Pipelines, pipeline: Pipeline, version: PipelineVersion, state: State, model_gateways: ModelGateways
) -> pb.PipelineWithState:
    engine = engine_status(pipelines, pipeline, version)
    gateway = gateway_status(pipelines, pipeline, version)
    changed = max(version.created, version.engine.changed, pipeline.deleted_at or 0.0)
    if version is pipeline.latest:
        changed = max(changed, pipeline.gateway.changed)
    return pb.PipelineWithState(
        pipeline=version.definition,
        state=pb.PipelineVersionState(
            pipelineVersion=version.number,
            status=pb.PipelineVersionState.PipelineStatus.Value(engine.state),
            reason=engine.reason,
            lastChangeTimestamp=timestamp(changed),
            modelsReady=not any(True for _ in unready_models(version.definition, state, model_gateways)),
            pipelineGwStatus=pb.PipelineVersionState.PipelineStatus.Value(gateway.state),
            pipelineGwReason=gateway.reason,
        ),
    )


def _named(summary: Summary, otherwise: str) -> Status:
    return Status(_STATUS[summary.progress], summary.reason or otherwise)


def _waits_for_its_name(pipeline: Pipeline) -> Status:
    return Status("PipelineCreate", f"waiting until the pipeline {pipeline.name} that was unloaded has ended")


def _until_drained(pipeline: Pipeline) -> str:
    if pipeline.published != NO_GATEWAY or not pipeline.acked:
        return "waiting for Envoy to drop its route"
    return "waiting for its gateways to answer what they have taken"
