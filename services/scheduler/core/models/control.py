"""The scheduler's steps: each takes an event with its time, changes the state, and returns what is to be done outside.

Times are seconds since the epoch and never go backwards. There is no clock, socket or disk in here, so that any
history can be replayed in a test.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import BecameReady, Effect, ModelChanged, SaveModel, SaveServer
from services.scheduler.core.effects import ServerChanged as ServerChangedEffect
from services.scheduler.core.members.rounds import hurry as hurry_members
from services.scheduler.core.models import definition, results
from services.scheduler.core.models.copies import has_left, set_replica
from services.scheduler.core.models.definition import Change
from services.scheduler.core.models.dues import hurry, is_due, is_over, next_due
from services.scheduler.core.models.inventory import Announced, forget_orphans, take_inventory
from services.scheduler.core.models.reconcile import reconcile, republish
from services.scheduler.core.retries import after_success
from services.scheduler.core.routing import NO_ROUTE
from services.scheduler.core.state import (
    LOADED,
    LOADING,
    Model,
    Replica,
    ReplicaKey,
    ReplicaState,
    Server,
    State,
    Version,
    VersionKey,
)
from services.scheduler.core.timers import Timers
from shared import timing
from shared.errors import NotFound, RejectedRequest


@dataclass(slots=True)
class Control:
    """The state and the steps over it."""

    state: State = field(default_factory=State)
    awaited: set[ReplicaKey] = field(default_factory=set)
    """Replicas known from before a restart that have not reported yet."""
    ready: bool = False
    settles_at: float = 0.0
    """When those that are awaited are not waited for any more."""
    _timers: Timers[str | ReplicaKey | None] = field(default_factory=Timers)
    """By whom they concern: a model, a replica, or the start."""

    # -- start ---------------------------------------------------------------------------------------------------

    def start(self, now: float, settle_seconds: float) -> list[Effect]:
        """Begin with the restored state; ready when the awaited replicas are back or the settling time is over."""
        self.settles_at = now + settle_seconds
        self._timers.wake(self.settles_at, None)
        return self._maybe_ready(now)

    def settle(self, now: float) -> list[Effect]:
        """The settling time is over: go on without those that have not reported."""
        self.awaited.clear()
        return self._maybe_ready(now)

    def _maybe_ready(self, now: float) -> list[Effect]:
        if self.ready or self.awaited:
            return []
        self.ready = True
        effects: list[Effect] = []
        for model in list(self.state.models.values()):
            # An Envoy that ran on may route to anything: until it has taken a first plan, nothing is unloaded.
            model.acked = False
            effects += self._reconcile(model, now, retry=True)
            if model.revision == 0:
                effects.append(republish(model, now))
                self._wake(model, now)
        return [*effects, BecameReady()]

    # -- desired state -------------------------------------------------------------------------------------------

    def load_model(self, submitted: pb.Model, now: float) -> list[Effect]:
        """Take a desired model. Raises RejectedRequest or InvalidInput; then nothing has changed."""
        definition.validate(submitted)
        name = submitted.meta.name
        model = self.state.models.get(name)
        if model is not None and model.deleted:
            if any(not version.is_inactive for version in model.versions.values()):
                raise RejectedRequest(f"model {name} deletion in progress: load it again when it has gone")
            model = self._revived(model)
        if model is None:
            number = definition.first_version_number(submitted)
            model = Model(name, {number: Version(number, submitted, now)})
            before = self.state.models.get(name)
            if before is not None:
                # The answers of Envoy and the model gateways to the deletion may still be on their way.
                model.published, model.revision, model.acked = before.published, before.revision, before.acked
                model.route_due, model.orphans = before.route_due, before.orphans
                model.gateway = before.gateway
            self.state.models[name] = model
        else:
            self._update(model, submitted, now)
        model.latest.retry = after_success(model.latest)
        hurry(model, now)
        hurry_members(model.gateway, now)
        effects = self._reconcile(model, now, retry=True)
        if model.route_error:
            effects.append(republish(model, now))
            self._wake(model, now)
        return [SaveModel(name), *effects]

    def _revived(self, deleted: Model) -> Model | None:
        """The model to go on with; None to start afresh. What could not be unloaded keeps its version number."""
        if all(has_left(version) for version in deleted.versions.values()):
            return None
        deleted.deleted_at = None
        return deleted

    def _update(self, model: Model, submitted: pb.Model, now: float) -> None:
        change = definition.compare(model.latest.definition, submitted)
        if change is Change.NEW_VERSION:
            number = model.latest.number + 1
            model.versions[number] = Version(number, submitted, now)
        elif change is Change.IN_PLACE:
            model.latest.definition = submitted

    def unload_model(self, name: str, now: float) -> list[Effect]:
        """Delete a model. Raises RejectedRequest for a name that was never loaded; a deleted one is accepted again."""
        model = self.state.models.get(name)
        if model is None:
            raise RejectedRequest(f"Model {name} not found")
        if not model.deleted:
            model.deleted_at = now
            self.state.unplaced.discard(name)
        places = {
            ReplicaKey(version.server or "", index) for version in model.versions.values() for index in version.replicas
        }
        effects = self._reconcile(model, now)
        return [SaveModel(name), *effects, *self._retry_fitting(places, now)]

    def notify_server(self, wanted: Server, now: float) -> list[Effect]:
        """Take a server's bounds and metadata; its replicas are what was observed."""
        server = self.state.servers.setdefault(wanted.name, Server(wanted.name))
        server.shared = server.shared if server.replicas else wanted.shared
        server.expected, server.minimum, server.maximum = wanted.expected, wanted.minimum, wanted.maximum
        server.kubernetes_meta = wanted.kubernetes_meta
        return [SaveServer(server.name), ServerChangedEffect(server.name), *self._retry_unplaced(now)]

    # -- agents --------------------------------------------------------------------------------------------------

    def agent_connected(
        self, key: ReplicaKey, replica: Replica, shared: bool, held: list[Announced], now: float
    ) -> list[Effect]:
        """An agent registered, for the first time or again, and told what its server holds."""
        server = self.state.servers.setdefault(key.server, Server(key.server))
        server.shared = shared
        before = server.replicas.get(key.replica)
        if before is not None:
            replica.copies, replica.draining = before.copies, False
        server.replicas[key.replica] = replica
        touched = take_inventory(self.state, key, replica, held, now)
        self.awaited.discard(key)
        effects: list[Effect] = [SaveServer(key.server), ServerChangedEffect(key.server)]
        for name in sorted(touched):
            effects += [SaveModel(name), *self._reconcile(self.state.models[name], now)]
        return [*effects, *self._maybe_ready(now), *self._retry_unplaced(now)]

    def agent_gone(self, key: ReplicaKey, session: int, now: float) -> list[Effect]:
        """An agent's subscription ended. What its server holds stays routed while the agent may come back."""
        replica = self.state.replica(key)
        if replica is None or replica.session != session:
            return []
        replica.lost_at = now
        self._timers.wake(now + timing.LOST_AGENT, key)
        return [ServerChangedEffect(key.server)]

    def _drop_replica(self, key: ReplicaKey, now: float) -> list[Effect]:
        """A replica whose agent did not come back: its models go elsewhere."""
        server = self.state.servers[key.server]
        replica = server.replicas.pop(key.replica)
        if not server.replicas and server.expected < 0:
            del self.state.servers[key.server]
        effects: list[Effect] = [SaveServer(key.server), ServerChangedEffect(key.server)]
        for version_key in sorted(replica.copies):
            version = self.state.version(version_key)
            if version is not None:
                version.replicas.pop(key.replica, None)
        orphaned = forget_orphans(self.state, key)
        for name in sorted({version_key.model for version_key in replica.copies} | orphaned):
            if name in self.state.models:
                effects += self._reconcile(self.state.models[name], now, retry=True)
        return effects

    def drain_replica(self, key: ReplicaKey, now: float) -> list[Effect]:
        """A replica is about to stop: its models are placed elsewhere while it goes on serving. Raises NotFound."""
        replica = self.state.replica(key)
        if replica is None:
            raise NotFound(f"server {key.server} replica {key.replica} not found: no agent of that name is registered")
        replica.draining = True
        effects: list[Effect] = [ServerChangedEffect(key.server)]
        for version_key in sorted(replica.copies):
            version = self.state.version(version_key)
            status = version.replicas.get(key.replica) if version is not None else None
            if version is not None and status is not None and status.state in LOADED | LOADING:
                # What is still loading answers nobody yet: it need not wait until another copy does.
                leaving = status.state in LOADING
                new = ReplicaState.UNLOAD_ENVOY_REQUESTED if leaving else ReplicaState.DRAINING
                set_replica(self.state, version_key, version, key.replica, new, now, "its replica drains")
                effects += self._reconcile(self.state.models[version_key.model], now, retry=True)
        return effects

    # -- results of instructions ---------------------------------------------------------------------------------

    def loaded(
        self, where: ReplicaKey, key: VersionKey, free: int, info: pb.ModelRuntimeInfo | None, now: float
    ) -> list[Effect]:
        """An agent finished loading; a copy that nobody asked for is unloaded. Raises StateConflict for a stranger."""
        unknown = key.model not in self.state.models
        results.loaded(self.state, where, key, info, now)
        saved: list[Effect] = [SaveModel(key.model)] if unknown else []
        return [*saved, *self._after_result(where, key, free, now)]

    def load_failed(self, where: ReplicaKey, key: VersionKey, free: int, reason: str, now: float) -> list[Effect]:
        """An agent gave up on a load; it is tried again later. Raises StateConflict for a copy nobody asked for."""
        results.load_failed(self.state, where, key, reason, now)
        return self._after_result(where, key, free, now)

    def unloaded(self, where: ReplicaKey, key: VersionKey, free: int, now: float) -> list[Effect]:
        """An agent finished unloading. Raises StateConflict for a copy nobody asked for."""
        results.unloaded(self.state, where, key, now)
        return self._after_result(where, key, free, now)

    def unload_failed(self, where: ReplicaKey, key: VersionKey, free: int, reason: str, now: float) -> list[Effect]:
        """An agent could not unload; it is tried again later. Raises StateConflict for a copy nobody asked for."""
        results.unload_failed(self.state, where, key, reason, now)
        return self._after_result(where, key, free, now)

    def _after_result(self, where: ReplicaKey, key: VersionKey, free: int, now: float) -> list[Effect]:
        replica = self.state.replica(where)
        if replica is not None:
            replica.reported(free)
        effects = self._reconcile(self.state.models[key.model], now, retry=self._may_retry(key.model, now))
        return [*effects, ServerChangedEffect(where.server), *self._retry_fitting([where], now)]

    # -- Envoy ---------------------------------------------------------------------------------------------------

    def routes_acked(self, name: str, revision: int, now: float) -> list[Effect]:
        """Every Envoy has taken this revision of a model's routes."""
        model = self.state.models.get(name)
        if model is None or model.revision != revision:
            return []
        model.acked, model.route_error, model.route_due = True, "", None
        return self._reconcile(model, now)

    def routes_rejected(self, name: str, revision: int, error: str, now: float) -> list[Effect]:
        """An Envoy refused this revision and goes on with the one before."""
        model = self.state.models.get(name)
        if model is None or model.revision != revision:
            return []
        model.route_error = error
        model.route_due = now + timing.ROUTE_REFUSED
        if model.deleted:
            # What Envoy refused must not keep the rest of the model from going: leave it out.
            model.published = NO_ROUTE
            effects = [republish(model, now)]
            self._wake(model, now)
            return effects
        return self._reconcile(model, now)

    # -- time ----------------------------------------------------------------------------------------------------

    @property
    def next_due(self) -> float | None:
        """When `tick` has something to do, in seconds since the epoch."""
        return self._timers.next_due

    def tick(self, now: float) -> list[Effect]:
        """Do what has become due."""
        effects: list[Effect] = []
        for concerned in self._timers.due(now):
            if isinstance(concerned, ReplicaKey):
                effects += self._expire_replica(concerned, now)
            elif concerned is not None:
                effects += self._model_due(concerned, now)
            else:
                effects += self.settle(now)
        return effects

    def _expire_replica(self, key: ReplicaKey, now: float) -> list[Effect]:
        replica = self.state.replica(key)
        if replica is None or replica.lost_at is None or now < replica.lost_at + timing.LOST_AGENT:
            return []
        return self._drop_replica(key, now)

    def _model_due(self, name: str, now: float) -> list[Effect]:
        model = self.state.models.get(name)
        if model is None:
            return []
        if is_over(model, now):
            del self.state.models[name]
            return [SaveModel(name)]
        if not is_due(self.state, model, now):
            return []
        for version in model.versions.values():
            if version.retry.due is None or now < version.retry.due:
                continue
            version.retry.due = None
            key = VersionKey(name, version.number)
            for index in version.indexes(frozenset({ReplicaState.UNLOAD_FAILED})):
                set_replica(self.state, key, version, index, ReplicaState.UNLOAD_REQUESTED, now, "tried again")
        effects = self._reconcile(model, now, retry=True)
        if self.ready and model.route_due is not None and now >= model.route_due:
            effects.append(republish(model, now))
        self._wake(model, now)
        return effects

    # -- shared --------------------------------------------------------------------------------------------------

    def _reconcile(self, model: Model, now: float, *, retry: bool = False) -> list[Effect]:
        """Until the known replicas have reported, nothing is decided: what looks missing may only be late."""
        if not self.ready:
            return [ModelChanged(model.name)]
        effects = reconcile(self.state, model, now, retry=retry)
        self._wake(model, now)
        return effects

    def _wake(self, model: Model, now: float) -> None:
        due = next_due(self.state, model, now)
        if due is not None:
            self._timers.wake(due, model.name)

    def _retry_unplaced(self, now: float) -> list[Effect]:
        """A server has changed: it may suit anybody now."""
        effects: list[Effect] = []
        for name in self.state.unplaced:
            if self._may_retry(name, now):
                effects += self._reconcile(self.state.models[name], now, retry=True)
        return effects

    def _retry_fitting(self, places: Iterable[ReplicaKey], now: float) -> list[Effect]:
        """Memory may have been freed on these replicas: it is given to those who wait for no more than that."""
        effects: list[Effect] = []
        for key in sorted(places):
            replica = self.state.replica(key)
            if replica is None:
                continue
            for name in self.state.unplaced.fitting(key, replica.free_bytes):
                least = self.state.unplaced.least(key)
                if least is None or least > replica.free_bytes:
                    break
                if self._may_retry(name, now):
                    effects += self._reconcile(self.state.models[name], now, retry=True)
        return effects

    def _may_retry(self, name: str, now: float) -> bool:
        """It lacks a place and is not to wait after a failure."""
        if name not in self.state.unplaced:
            return False
        due = self.state.models[name].latest.retry.due
        return due is None or now >= due
