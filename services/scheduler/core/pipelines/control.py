"""The steps over pipelines: each takes an event with its time, changes the state, and returns what is to be done.

Like the steps over models, without clock, socket or disk. Times are seconds since the epoch.
"""

from collections.abc import Callable, Iterable, Iterator

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import Effect, PipelineChanged, SavePipeline
from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.members.presence import Presence
from services.scheduler.core.members.rounds import Answer, enter, hurry, next_due, was_asked
from services.scheduler.core.pipelines import definition
from services.scheduler.core.pipelines.cycles import check_across
from services.scheduler.core.pipelines.reconcile import KEPT_VERSIONS, at_gateways, has_ended, reconcile, republish
from services.scheduler.core.pipelines.state import Pipeline, Pipelines, PipelineVersion
from services.scheduler.core.routing import NO_GATEWAY
from services.scheduler.core.timers import Timers
from shared import timing
from shared.errors import RejectedRequest, StateConflict


class PipelineControl:
    """The state of all pipelines and the steps over it."""

    def __init__(self, pipelines: Pipelines) -> None:
        self.pipelines = pipelines
        self._timers: Timers[str] = Timers()
        self._users: dict[str, set[str]] = {}
        """Names of pipelines by the models that are their steps."""
        everything: Callable[[float], list[Effect]] = self._reconcile_all
        self.presences = {
            Kind.ENGINE: Presence(pipelines.engines, self._at_engines, everything),
            Kind.PIPELINE_GATEWAY: Presence(pipelines.gateways, self._at_gateways, everything),
        }
        for pipeline in pipelines.by_name.values():
            self._index(pipeline)

    def start(self, now: float, settle_seconds: float) -> list[Effect]:
        """Begin with the restored state: routes as they were, until those who were there have had time to return."""
        effects: list[Effect] = []
        for pipeline in self.pipelines.by_name.values():
            if pipeline.deleted_at is not None:
                self._timers.wake(pipeline.deleted_at + timing.DELETED_KEPT, pipeline.name)
            if pipeline.published != NO_GATEWAY:
                effects.append(republish(pipeline, now))
        effects += self._reconcile_all(now)
        for presence in self.presences.values():
            effects += presence.start(now, settle_seconds)
        return effects

    # -- desired state -------------------------------------------------------------------------------------------

    def load(self, submitted: pb.Pipeline, new_uid: str, now: float) -> list[Effect]:
        """Take a desired pipeline. Raises RejectedRequest; then nothing has changed.

        One of the same Kubernetes generation as the latest version is the latest version: what failed of it, or was not
        answered, is tried again at once.
        """
        wanted = definition.normalise(submitted)
        definition.validate(wanted)
        name = wanted.name
        check_across({other.name: other.latest.definition for other in self._alive()}, wanted)
        pipeline = self.pipelines.by_name.get(name)
        if pipeline is not None and not pipeline.deleted and _is_same_generation(pipeline.latest.definition, wanted):
            for deployment in self._deployments(pipeline):
                hurry(deployment, now)
            return self._reconcile(pipeline, now)
        if pipeline is None or pipeline.deleted:
            pipeline = self._fresh(name, pipeline, now)
        used = {version.definition.uid for version in pipeline.all_versions()}
        wanted.version = max(pipeline.versions, default=0) + 1
        wanted.uid = wanted.uid if wanted.uid and wanted.uid not in used else new_uid
        pipeline.versions[wanted.version] = PipelineVersion(wanted, now)
        self.pipelines.by_name[name] = pipeline
        self._index(pipeline)
        return [SavePipeline(name), *self._reconcile(pipeline, now)]

    def _fresh(self, name: str, before: Pipeline | None, now: float) -> Pipeline:
        """A pipeline that starts over; what is left of one of the same name has to end first."""
        pipeline = Pipeline(name)
        if before is not None:
            pipeline.past = before.past
            if has_ended(self.pipelines, before, now):
                pipeline.past = [*before.past, *before.retired][-KEPT_VERSIONS:]
            else:
                pipeline.leaving = before.retired
            pipeline.gateway, pipeline.published, pipeline.taken = before.gateway, before.published, before.taken
            pipeline.revision, pipeline.acked, pipeline.route_error = before.revision, before.acked, before.route_error
            pipeline.offered, pipeline.route_due = before.offered, before.route_due
        return pipeline

    def unload(self, name: str, now: float) -> list[Effect]:
        """Delete a pipeline. Raises RejectedRequest for one that is unknown, gone or on its way out."""
        pipeline = self.pipelines.by_name.get(name)
        if pipeline is None or has_ended(self.pipelines, pipeline, now):
            raise RejectedRequest(f"pipeline {name} not found")
        if pipeline.deleted:
            raise RejectedRequest(f"pipeline {name} is still terminating: wait until it has gone")
        pipeline.deleted_at = now
        self._timers.wake(now + timing.DELETED_KEPT, name)
        return [SavePipeline(name), *self._reconcile(pipeline, now)]

    # -- answers -------------------------------------------------------------------------------------------------

    def engine_answered(self, answer: Answer, now: float) -> list[Effect]:
        """An engine's answer; one of an earlier round or from a stranger is ignored. Raises StateConflict."""
        pipeline = self.pipelines.by_name.get(answer.resource)
        if pipeline is None:
            return []
        asked = [version for version in pipeline.all_versions() if was_asked(version.engine, answer)]
        if not asked:
            return []
        meant = [version for version in asked if _is_about(answer, version)]
        if not meant:
            raise _not_asked_for(answer)
        if not enter(self.pipelines.engines, pipeline.name, meant[0].engine, answer, now):
            return []
        return [*self._reconcile(pipeline, now), *self._reconcile_moved(now)]

    def gateway_answered(self, answer: Answer, now: float) -> list[Effect]:
        """A gateway's answer; one of an earlier round or from a stranger is ignored. Raises StateConflict."""
        pipeline = self.pipelines.by_name.get(answer.resource)
        if pipeline is None or not was_asked(pipeline.gateway, answer):
            return []
        if not _is_about(answer, at_gateways(pipeline)):
            raise _not_asked_for(answer)
        key = self.pipelines.gateway_key(pipeline.name)
        if not enter(self.pipelines.gateways, key, pipeline.gateway, answer, now):
            return []
        return [*self._reconcile(pipeline, now), *self._reconcile_moved(now)]

    # -- Envoy ---------------------------------------------------------------------------------------------------

    def routes_acked(self, scope: str, revision: int, now: float) -> list[Effect]:
        """Every Envoy has taken this revision of a pipeline's route."""
        pipeline = self._published(scope, revision)
        if pipeline is None:
            return []
        pipeline.acked, pipeline.route_error, pipeline.taken = True, "", pipeline.published
        pipeline.offered, pipeline.route_due = frozenset(pipeline.published.gateways), None
        return self._reconcile(pipeline, now)

    def routes_rejected(self, scope: str, revision: int, error: str, now: float) -> list[Effect]:
        """An Envoy refused this revision and goes on with the one before."""
        pipeline = self._published(scope, revision)
        if pipeline is None:
            return []
        pipeline.route_error, pipeline.route_due = error, now + timing.ROUTE_REFUSED
        return self._reconcile(pipeline, now)

    def _published(self, scope: str, revision: int) -> Pipeline | None:
        pipeline = self.pipelines.by_name.get(scope.removesuffix(".pipeline"))
        return pipeline if pipeline is not None and pipeline.revision == revision else None

    # -- models and time -----------------------------------------------------------------------------------------

    def models_changed(self, names: Iterable[str]) -> list[Effect]:
        """Whether a pipeline's models are ready may have changed."""
        users = {pipeline for name in names for pipeline in self._users.get(name, ())}
        return [PipelineChanged(name) for name in sorted(users)]

    @property
    def next_due(self) -> float | None:
        dues = [self._timers.next_due, *(presence.next_due for presence in self.presences.values())]
        return min((due for due in dues if due is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due."""
        effects = [effect for presence in self.presences.values() for effect in presence.tick(now)]
        for name in self._timers.due(now):
            pipeline = self.pipelines.by_name.get(name)
            if pipeline is not None:
                effects += self._pipeline_due(pipeline, now)
        return [*effects, *self._reconcile_moved(now)]

    def _pipeline_due(self, pipeline: Pipeline, now: float) -> list[Effect]:
        expired = pipeline.deleted_at is not None and now >= pipeline.deleted_at + timing.DELETED_KEPT
        if expired and has_ended(self.pipelines, pipeline, now):
            del self.pipelines.by_name[pipeline.name]
            self._forget(pipeline.name)
            return [SavePipeline(pipeline.name), PipelineChanged(pipeline.name)]
        effects = self._reconcile(pipeline, now)
        if pipeline.route_due is not None and now >= pipeline.route_due:
            effects.append(republish(pipeline, now))
            self._wake(pipeline, now)
        return effects

    # -- shared --------------------------------------------------------------------------------------------------

    def _reconcile(self, pipeline: Pipeline, now: float) -> list[Effect]:
        effects = reconcile(self.pipelines, pipeline, now)
        self._wake(pipeline, now)
        return effects

    def _wake(self, pipeline: Pipeline, now: float) -> None:
        for due in (next_due(self._deployments(pipeline), now), pipeline.route_due):
            if due is not None:
                self._timers.wake(due, pipeline.name)

    def _deployments(self, pipeline: Pipeline) -> list[Deployment]:
        return [pipeline.gateway, *(version.engine for version in pipeline.all_versions())]

    def _reconcile_moved(self, now: float) -> list[Effect]:
        """A gateway that answers nothing about one pipeline is passed over for all that share its consumer group."""
        fleets = (self.pipelines.engines, self.pipelines.gateways)
        moved = any(fleet.moved for fleet in fleets)
        for fleet in fleets:
            fleet.moved = False
        return self._reconcile_all(now) if moved else []

    def _reconcile_all(self, now: float) -> list[Effect]:
        return [effect for pipeline in self.pipelines.by_name.values() for effect in self._reconcile(pipeline, now)]

    def _alive(self) -> Iterator[Pipeline]:
        return (pipeline for pipeline in self.pipelines.by_name.values() if not pipeline.deleted)

    def _at_engines(self) -> Iterator[tuple[str, list[Deployment]]]:
        for pipeline in self.pipelines.by_name.values():
            yield pipeline.name, [version.engine for version in pipeline.all_versions()]

    def _at_gateways(self) -> Iterator[tuple[str, list[Deployment]]]:
        for pipeline in self.pipelines.by_name.values():
            yield self.pipelines.gateway_key(pipeline.name), [pipeline.gateway]

    def _index(self, pipeline: Pipeline) -> None:
        """Models of any version count: one too many is only looked at in vain."""
        for version in pipeline.versions.values():
            for step in version.definition.steps:
                self._users.setdefault(step.name, set()).add(pipeline.name)

    def _forget(self, name: str) -> None:
        for users in self._users.values():
            users.discard(name)


def _is_same_generation(latest: pb.Pipeline, wanted: pb.Pipeline) -> bool:
    generation = wanted.kubernetesMeta.generation
    return generation != 0 and generation == latest.kubernetesMeta.generation


def _is_about(answer: Answer, version: PipelineVersion) -> bool:
    return (answer.version, answer.uid) == (version.number, version.definition.uid)


def _not_asked_for(answer: Answer) -> StateConflict:
    return StateConflict(
        f"pipeline {answer.resource} version {answer.version} uid {answer.uid!r} was not asked for in this round"
    )
