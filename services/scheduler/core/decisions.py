"""All decisions together: models, their gateways, and pipelines, each of which follows what happened to the one before.

Like its parts without clock, socket or disk, so that any history can be replayed in a test.
"""

from collections.abc import Iterable

from services.scheduler.core.effects import Effect, ModelChanged
from services.scheduler.core.members.fleet import Fleet, Kind, Member
from services.scheduler.core.members.presence import Presence
from services.scheduler.core.members.rounds import Answer
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.pipelines.control import PipelineControl
from services.scheduler.core.pipelines.state import SCOPE_SUFFIX


class Core:
    """The scheduler's state and every step over it."""

    def __init__(self, models: Control, model_gateways: ModelGateways, pipelines: PipelineControl) -> None:
        self.models = models
        self.model_gateways = model_gateways
        self.pipelines = pipelines
        self._presences: dict[Kind, Presence] = {
            Kind.MODEL_GATEWAY: model_gateways.presence,
            **pipelines.presences,
        }

    def start(self, now: float, settle_seconds: float) -> list[Effect]:
        """Begin with the restored state. Models never wait for gateways: each part settles by itself."""
        effects = self.pipelines.start(now, settle_seconds)
        effects += self.model_gateways.start(now, settle_seconds)
        return [*effects, *self.models.start(now, settle_seconds)]

    def follow(self, effects: Iterable[Effect], now: float) -> list[Effect]:
        """The effects of a step, and what follows from them for the other parts."""
        done = list(effects)
        done += self.model_gateways.models_changed(_changed(done), now)
        done += self.pipelines.models_changed(_changed(done))
        return done

    def fleet(self, kind: Kind) -> Fleet:
        return self._presences[kind].fleet

    # -- members -------------------------------------------------------------------------------------------------

    def member_joined(self, kind: Kind, member: Member, now: float) -> list[Effect]:
        return self._presences[kind].member_joined(member, now)

    def member_left(self, kind: Kind, name: str, session: int, now: float) -> list[Effect]:
        return self._presences[kind].member_left(name, session, now)

    def answered(self, kind: Kind, answer: Answer, now: float) -> list[Effect]:
        """Raises StateConflict for an answer of this round about a version that was not asked for."""
        if kind is Kind.MODEL_GATEWAY:
            return self.model_gateways.answered(answer, now)
        if kind is Kind.PIPELINE_GATEWAY:
            return self.pipelines.gateway_answered(answer, now)
        return self.pipelines.engine_answered(answer, now)

    # -- Envoy ---------------------------------------------------------------------------------------------------

    def routed(self, scope: str, revision: int, error: str, now: float) -> list[Effect]:
        """Envoy's answer to a published plan; `error` is empty when every Envoy took it."""
        if scope.endswith(SCOPE_SUFFIX):
            if error:
                return self.pipelines.routes_rejected(scope, revision, error, now)
            return self.pipelines.routes_acked(scope, revision, now)
        if error:
            return self.models.routes_rejected(scope, revision, error, now)
        return self.models.routes_acked(scope, revision, now)

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> float | None:
        """When `tick` has something to do, in seconds since the epoch."""
        dues = (part.next_due for part in (self.models, self.model_gateways, self.pipelines))
        return min((due for due in dues if due is not None), default=None)

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due."""
        return [*self.models.tick(now), *self.model_gateways.tick(now), *self.pipelines.tick(now)]


def _changed(effects: Iterable[Effect]) -> list[str]:
    return sorted({effect.model for effect in effects if isinstance(effect, ModelChanged)})
