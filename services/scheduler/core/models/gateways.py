"""Which model gateways feed which models from Kafka. Loading a model never waits for any of this."""

from collections.abc import Iterable, Iterator

from services.scheduler.core.effects import Effect, ModelChanged, SaveModel, Tell
from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.fleet import Fleet
from services.scheduler.core.members.presence import Presence
from services.scheduler.core.members.rounds import Answer, arrange, enter, is_due, next_due, was_asked
from services.scheduler.core.state import Model, State
from services.scheduler.core.timers import Timers
from shared.errors import StateConflict
from shared.kafka.names import MODEL_GATEWAY, GroupNames


class ModelGateways:
    """The steps over the model gateways' side of the models."""

    def __init__(self, state: State, fleet: Fleet, groups: GroupNames, max_consumers: int) -> None:
        self._state = state
        self.fleet = fleet
        self._groups = groups
        self._max_consumers = max_consumers
        self._timers: Timers[str] = Timers()
        self.presence = Presence(fleet, self._resources, self._arrange_all)

    def key(self, model: str) -> str:
        """What its owners are found by: models that share a consumer group belong to the same gateways."""
        return self._groups.gateway(MODEL_GATEWAY, model, self._max_consumers)

    def start(self, now: float, settle_seconds: float) -> list[Effect]:
        for model in self._state.models.values():
            _follow(model, now)
        return self.presence.start(now, settle_seconds)

    def models_changed(self, names: Iterable[str], now: float) -> list[Effect]:
        """Whatever happened to these models: gateways are told of new ones, new versions and deletions."""
        effects: list[Effect] = []
        for name in names:
            model = self._state.models.get(name)
            if model is not None and (_follow(model, now) or is_due(model.gateway, now)):
                effects += self._arrange(model, now)
        return [*effects, *self._arrange_moved(now)]

    def answered(self, answer: Answer, now: float) -> list[Effect]:
        """A gateway's answer; one of an earlier round or from a stranger is ignored. Raises StateConflict."""
        model = self._state.models.get(answer.resource)
        if model is None or not was_asked(model.gateway, answer):
            return []
        if answer.version != model.gateway.version:
            asked = f"version {model.gateway.version} was"
            raise StateConflict(f"model {model.name} version {answer.version} was not asked for: {asked}")
        if not enter(self.fleet, self.key(model.name), model.gateway, answer, now):
            return []
        return [*self._arrange(model, now), ModelChanged(model.name), *self._arrange_moved(now)]

    @property
    def next_due(self) -> float | None:
        dues = [due for due in (self._timers.next_due, self.presence.next_due) if due is not None]
        return min(dues, default=None)

    def tick(self, now: float) -> list[Effect]:
        effects = self.presence.tick(now)
        for name in self._timers.due(now):
            model = self._state.models.get(name)
            if model is not None:
                effects += [*self._arrange(model, now), ModelChanged(name)]
        return [*effects, *self._arrange_moved(now)]

    def _resources(self) -> Iterator[tuple[str, list[Deployment]]]:
        return ((self.key(model.name), [model.gateway]) for model in self._state.models.values())

    def _arrange_all(self, now: float) -> list[Effect]:
        effects: list[Effect] = []
        for model in self._state.models.values():
            effects += [*self._arrange(model, now), ModelChanged(model.name)]
        return effects

    def _arrange_moved(self, now: float) -> list[Effect]:
        """A gateway that answers nothing about one model is passed over for all that share its consumer group."""
        moved, self.fleet.moved = self.fleet.moved, False
        return self._arrange_all(now) if moved else []

    def _arrange(self, model: Model, now: float) -> list[Effect]:
        deployment, had_ended = model.gateway, model.gateway.ended
        clean = deployment if model.latest.definition.dataflowSpec.cleanTopicsOnDelete else None
        instructions = arrange(self.fleet, self.key(model.name), [deployment], now, clean=clean)
        due = next_due([deployment], now)
        if due is not None:
            self._timers.wake(due, model.name)
        saved: list[Effect] = [SaveModel(model.name)] if deployment.ended != had_ended else []
        return [*saved, *(Tell(self.fleet.kind, model.name, instruction) for instruction in instructions)]


def _follow(model: Model, now: float) -> bool:
    """Want of the gateways what is wanted of the model. True when that is something new."""
    before = (model.gateway.wanted, model.gateway.version)
    if model.deleted:
        model.gateway.unwant(now)
    else:
        model.gateway.want(model.latest.number, now)
    return before != (model.gateway.wanted, model.gateway.version)
