"""Brings one pipeline from what is observed to what is desired: versions, gateways, routes and engines.

`reconcile` may be called at any time and as often as one likes; when nothing is to be done it does nothing.
"""

from typing import Final

from services.scheduler.core.effects import Effect, PipelineChanged, PublishRoutes, SavePipeline, Tell
from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.rounds import Instruction, arrange, is_released
from services.scheduler.core.pipelines.routes import plan_gateways, routed_members
from services.scheduler.core.pipelines.state import Pipeline, Pipelines, PipelineVersion
from services.scheduler.core.routing import NO_GATEWAY
from shared import timing

KEPT_VERSIONS: Final = 20
"""Ended versions that can still be asked about, and that an engine is told to stop when it connects: one that was away
while so many were loaded may read along with the newest. More would be told to every engine that connects."""


def reconcile(pipelines: Pipelines, pipeline: Pipeline, now: float) -> list[Effect]:
    """One pass over one pipeline."""
    before = _durable(pipeline)
    effects: list[Effect] = []
    _supersede(pipelines, pipeline)
    _want(pipelines, pipeline, now)
    effects += _publish(pipelines, pipeline, now)
    effects += _tell_gateways(pipelines, pipeline, now)
    _doom(pipelines, pipeline, now)
    effects += _tell_engines(pipelines, pipeline, now)
    if pipeline.leaving and not pipeline.deleted and _has_ended(pipelines, pipeline, now):
        pipeline.past = [*pipeline.past, *pipeline.leaving][-KEPT_VERSIONS:]
        pipeline.leaving = []
        effects += reconcile(pipelines, pipeline, now)
    _forget_old_versions(pipeline)
    if _durable(pipeline) != before:
        effects.insert(0, SavePipeline(pipeline.name))
    return [*effects, PipelineChanged(pipeline.name)]


def _supersede(pipelines: Pipelines, pipeline: Pipeline) -> None:
    """Versions before the newest one that is ready everywhere are not needed any more."""
    owners = pipelines.engines.owners(pipeline.name)
    ready = [version.number for version in pipeline.ordered() if version.engine.everywhere(owners)]
    for version in pipeline.ordered():
        version.superseded = version.superseded or (bool(ready) and version.number < ready[-1])


def _want(pipelines: Pipelines, pipeline: Pipeline, now: float) -> None:
    if pipeline.is_ending:
        pipeline.gateway.unwant(now)
        return
    pipeline.gateway.want(pipeline.latest.number, now)
    for version in pipeline.ordered():
        if version.superseded:
            version.engine.unwant(now)
        else:
            version.engine.want(version.number, now)


def _publish(pipelines: Pipelines, pipeline: Pipeline, now: float) -> list[Effect]:
    plan = plan_gateways(pipelines, pipeline)
    if plan == pipeline.published:
        return []
    pipeline.published = plan
    return [republish(pipeline, now)]


def republish(pipeline: Pipeline, now: float) -> Effect:
    """Offer Envoy the plan as it is, under a new revision."""
    pipeline.revision += 1
    pipeline.acked, pipeline.route_error = False, ""
    if pipeline.offered is not None:
        pipeline.offered |= set(pipeline.published.gateways)
    pipeline.route_due = now + timing.ROUTE_UNANSWERED
    return PublishRoutes(pipeline.scope, pipeline.published, pipeline.revision)


def _tell_gateways(pipelines: Pipelines, pipeline: Pipeline, now: float) -> list[Effect]:
    in_use = routed_members(pipelines, pipeline)
    key = pipelines.gateway_key(pipeline.name)
    definition = at_gateways(pipeline).definition
    return [
        Tell(pipelines.gateways.kind, pipeline.name, instruction, definition)
        for instruction in arrange(pipelines.gateways, key, [pipeline.gateway], now, in_use=in_use)
    ]


def at_gateways(pipeline: Pipeline) -> PipelineVersion:
    """The version that gateways are told about: while one of its name is on its way out, that one."""
    return pipeline.leaving[-1] if pipeline.leaving else pipeline.latest


def _doom(pipelines: Pipelines, pipeline: Pipeline, now: float) -> None:
    """An unloaded pipeline leaves the engines when its gateways have answered everybody."""
    retired = pipeline.retired
    if not retired or not _is_drained(pipelines, pipeline, now):
        return
    *older, newest = retired
    for version in older:
        version.engine.unwant(now)
    if _clean(pipeline) is None or all(is_released(version.engine, now) for version in older):
        newest.engine.unwant(now)


def _is_drained(pipelines: Pipelines, pipeline: Pipeline, now: float) -> bool:
    routed = pipeline.published != NO_GATEWAY or not pipeline.acked
    return pipelines.gateways.released and not routed and is_released(pipeline.gateway, now)


def _clean(pipeline: Pipeline) -> Deployment | None:
    """The part with which the pipeline's topics go; the other versions have ended before it does."""
    retired = pipeline.retired
    return retired[-1].engine if retired and retired[-1].definition.dataflowSpec.cleanTopicsOnDelete else None


def _tell_engines(pipelines: Pipelines, pipeline: Pipeline, now: float) -> list[Effect]:
    versions = list(pipeline.all_versions())
    deployments = [version.engine for version in versions]
    instructions = arrange(pipelines.engines, pipeline.name, deployments, now, clean=_clean(pipeline))
    return [_tell_engine(pipelines, pipeline, instruction) for instruction in instructions]


def _tell_engine(pipelines: Pipelines, pipeline: Pipeline, instruction: Instruction) -> Effect:
    definition = next(
        version.definition for version in pipeline.all_versions() if version.engine is instruction.deployment
    )
    return Tell(pipelines.engines.kind, pipeline.name, instruction, definition)


def _has_ended(pipelines: Pipelines, pipeline: Pipeline, now: float) -> bool:
    gone = all(is_released(version.engine, now) for version in pipeline.retired)
    return gone and pipelines.engines.released and _is_drained(pipelines, pipeline, now)


def has_ended(pipelines: Pipelines, pipeline: Pipeline, now: float) -> bool:
    """Nothing of an unloaded pipeline is left anywhere, except where nobody answers."""
    return pipeline.deleted and _has_ended(pipelines, pipeline, now)


def _forget_old_versions(pipeline: Pipeline) -> None:
    ended = [version.number for version in pipeline.ordered() if version.superseded and version.engine.ended]
    for number in ended[:-KEPT_VERSIONS]:
        del pipeline.versions[number]


def _durable(pipeline: Pipeline) -> tuple[object, ...]:
    """What a restart has to bring back."""
    versions = tuple(
        (version.definition.uid, version.superseded, version.engine.ended) for version in pipeline.all_versions()
    )
    return (
        pipeline.published,
        pipeline.deleted_at,
        len(pipeline.past),
        len(pipeline.leaving),
        pipeline.gateway.ended,
        versions,
    )
