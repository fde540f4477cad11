"""The scheduler's steps among honest simulated agents and an Envoy that may be late: one history at a time.

`World` checks after every step what must never happen: a route to a copy that is not there, an agent told to unload
what Envoy may still use, more memory promised than a server replica has.
"""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import BecameReady, Effect, PublishRoutes, SendLoad, SendUnload
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.inventory import Announced
from services.scheduler.core.models.waiting import copy_waits, orphan_waits
from services.scheduler.core.routing import NO_ROUTE, RoutePlan
from services.scheduler.core.state import Model, Replica, ReplicaKey, ReplicaState, Server, State, Version, VersionKey
from shared.errors import StateConflict
from tests.scheduler.builders import replica

GRACE_STEPS = 1.0
"""Seconds between two steps."""
LONG_SILENCE = 4 * 3_600.0
"""Longer than the scheduler waits for any answer; seconds."""
REPORT_SECONDS = 60.0
"""After which an agent gives up a report that it could not deliver."""
KEEPALIVE_SECONDS = 60.0
"""After which a link that was cut without notice is found to be dead."""
MAY_WAIT_FOR_AN_EVENT = frozenset({ReplicaState.DRAINING, ReplicaState.LOAD_FAILED})
"""Waiting for a place: for a server, memory, or another copy."""


@dataclass
class Operation:
    kind: str
    key: VersionKey
    definition: pb.Model


@dataclass
class Agent:
    """An agent and its inference server. Memory in bytes."""

    key: ReplicaKey
    memory: int
    session: int = 0
    connected: bool = False
    held: dict[VersionKey, pb.Model] = field(default_factory=dict)
    inbox: list[Operation] = field(default_factory=list)
    outbox: list[tuple[str, VersionKey, int, float]] = field(default_factory=list)
    """(event, version, free memory and time when it happened)."""
    fail_next: set[str] = field(default_factory=set)
    """`load` or `unload`: the next one of these fails."""
    known_since: float = inf
    """Step at which the scheduler last learnt what is held; infinite when models were lost since."""
    never_lost: bool = True
    silent_until: float = 0.0
    """It takes what it is told and does nothing before this time; seconds."""
    cut_since: float | None = None
    """The link is dead and neither end has noticed; what is said over it is lost."""
    said: list[tuple[str, VersionKey, int]] = field(default_factory=list)
    """The last things it reported, to be heard once more later."""
    honest: bool = True
    """False once it has said what is not so; what Envoy is told of it is not to be relied upon then."""

    @property
    def free(self) -> int:
        return self.memory - sum(model.modelSpec.memoryBytes for model in self.held.values())

    def take(self, operation: Operation) -> None:
        """A load under way is not begun twice; of what waits behind it, only the newest wish is carried out."""
        same = [known for known in self.inbox if known.key == operation.key]
        if same and operation.kind == same[-1].kind == "load":
            return
        for passed_over in same[1:]:
            self.inbox.remove(passed_over)
        self.inbox.append(operation)

    def work(self, choice: int, now: float) -> None:
        """Carry out one operation. Those of one version keep their order, others run in any order."""
        if not self.inbox or now < self.silent_until:
            return
        key = self.inbox[choice % len(self.inbox)].key
        operation = next(operation for operation in self.inbox if operation.key == key)
        self.inbox.remove(operation)
        if operation.kind in self.fail_next and (operation.kind == "unload") == (key in self.held):
            self.fail_next.discard(operation.kind)
            event = "load_failed" if operation.kind == "load" else "unload_failed"
        elif operation.kind == "unload":
            self.held.pop(key, None)
            event = "unloaded"
        elif key in self.held or operation.definition.modelSpec.memoryBytes <= self.free:
            self.held.setdefault(key, operation.definition)
            event = "loaded"
        else:
            event = "load_failed"
        self.outbox.append((event, key, self.free, now))


@dataclass
class Flight:
    """A plan and the step at which it was made."""

    plan: RoutePlan
    revision: int
    step: int


class World:
    """Everything outside the scheduler, and the scheduler itself."""

    def __init__(self, agents: Iterable[Agent]) -> None:
        self.now = 0.0
        self.step = 0
        self.sessions = 0
        self.agents = {agent.key: agent for agent in agents}
        self.control = Control()
        self.waiting: dict[str, Flight] = {}
        """Plans that Envoy has not been given yet; a newer one replaces an older one."""
        self.flying: dict[str, Flight] = {}
        """Plans on their way: Envoy has them or the ones before."""
        self.routed: dict[str, Flight] = {}
        """Plans that Envoy has acknowledged."""
        self.effects(self.control.start(self.now, 0.0))

    # -- effects -------------------------------------------------------------------------------------------------

    def effects(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendLoad(to, version):
                    self._instruct("load", to, version)
                case SendUnload(to, version):
                    self._instruct("unload", to, version)
                case PublishRoutes(model, plan, revision) if isinstance(plan, RoutePlan):
                    self.waiting[model] = Flight(plan, revision, self.step)
                case BecameReady():
                    self._release()
                case _:
                    pass

    def _instruct(self, kind: str, to: ReplicaKey, key: VersionKey) -> None:
        agent = self.agents[to]
        assert agent.connected, f"{kind} of {key} sent to {to}, which is not connected"
        version = self.control.state.version(key)
        assert version is not None or kind == "unload", f"{kind} of unknown {key}"
        if kind == "unload":
            for plan in self._possible_plans(key.model):
                assert not plan.routes_to(key.version, to.replica) or not _is_on(plan, key.version, to.server), (
                    f"{to} is told to unload {key}, to which Envoy may still send requests"
                )
        if agent.cut_since is not None:
            return
        agent.take(Operation(kind, key, version.definition if version is not None else pb.Model()))
        if kind == "load" and agent.honest:
            promised = {operation.key: operation.definition for operation in agent.inbox if operation.kind == "load"}
            total = sum(model.modelSpec.memoryBytes for model in {**promised, **agent.held}.values())
            assert total <= agent.memory, f"{to} has {agent.memory} bytes and is to hold {total}"

    def _release(self) -> None:
        """The first answer after a start holds everything that Envoy is to have."""
        self.flying = {name: self.waiting.pop(name) for name in list(self.waiting)}
        for name in self.routed.keys() - self.flying.keys():
            del self.routed[name]

    def _possible_plans(self, model: str) -> list[RoutePlan]:
        return [flights[model].plan for flights in (self.routed, self.flying) if model in flights]

    # -- what happens --------------------------------------------------------------------------------------------

    def load(self, submitted: pb.Model) -> None:
        self.effects(self.control.load_model(submitted, self.now))

    def unload(self, name: str) -> None:
        self.effects(self.control.unload_model(name, self.now))

    def connect(self, agent: Agent) -> None:
        if agent.connected:
            return
        self.sessions += 1
        agent.session, agent.connected, agent.known_since = self.sessions, True, self.step
        agent.never_lost = agent.never_lost and agent.honest
        agent.cut_since, agent.honest = None, True
        agent.said.clear()
        agent.inbox.clear()
        agent.outbox.clear()
        offered: Replica = replica(agent.session, total=agent.memory, available=agent.free, index=agent.key.replica)
        held = [Announced(key, definition) for key, definition in agent.held.items()]
        self.effects(self.control.agent_connected(agent.key, offered, True, held, self.now))

    def disconnect(self, agent: Agent) -> None:
        if not agent.connected:
            return
        agent.connected = False
        agent.cut_since = None
        agent.inbox.clear()
        agent.outbox.clear()
        self.effects(self.control.agent_gone(agent.key, agent.session, self.now))

    def crash(self, agent: Agent) -> None:
        """The agent and its server end; the models are lost."""
        agent.held.clear()
        agent.known_since, agent.never_lost = inf, False
        self.disconnect(agent)

    def drain(self, agent: Agent) -> None:
        if self.control.state.replica(agent.key) is not None:
            self.effects(self.control.drain_replica(agent.key, self.now))

    def deliver(self, agent: Agent) -> None:
        if not agent.outbox:
            return
        self.report(agent, *agent.outbox.pop(0)[:3])

    def report(self, agent: Agent, event: str, key: VersionKey, free: int) -> None:
        """An outcome reaches the scheduler, unless the link is dead."""
        if agent.cut_since is not None or not agent.connected:
            return
        agent.said = [*agent.said, (event, key, free)][-5:]
        # A result for a copy that has been given up meanwhile is refused; agents go on all the same.
        with contextlib.suppress(StateConflict):
            if event == "loaded":
                self.effects(self.control.loaded(agent.key, key, free, None, self.now))
            elif event == "load_failed":
                self.effects(self.control.load_failed(agent.key, key, free, "out of luck", self.now))
            elif event == "unloaded":
                self.effects(self.control.unloaded(agent.key, key, free, self.now))
            else:
                self.effects(self.control.unload_failed(agent.key, key, free, "out of luck", self.now))

    def take(self, name: str) -> None:
        """The publisher gives Envoy the newest plan, once the one before is settled."""
        if name in self.waiting and name not in self.flying:
            self.flying[name] = self.waiting.pop(name)

    def ack(self, name: str) -> None:
        if name in self.flying:
            flight = self.routed[name] = self.flying.pop(name)
            self.effects(self.control.routes_acked(name, flight.revision, self.now))

    def nack(self, name: str) -> None:
        """There is nothing to refuse in a plan without any resource."""
        if name in self.flying and self.flying[name].plan.upstreams:
            flight = self.flying.pop(name)
            self.effects(self.control.routes_rejected(name, flight.revision, "bad", self.now))

    def restart(self, settle_seconds: float) -> None:
        """The scheduler ends and starts again from what is stored; Envoy and the agents run on."""
        state, known = restored(self.control.state)
        for agent in self.agents.values():
            agent.connected, agent.cut_since = False, None
            agent.inbox.clear()
            agent.outbox.clear()
        self.waiting.clear()
        # A plan that was given to Envoy and not acknowledged may be the one it uses.
        self.routed |= self.flying
        self.flying.clear()
        self.control = Control(state, known)
        self.effects(self.control.start(self.now, settle_seconds))

    def wait(self, longest: float) -> None:
        """Let time pass until the next thing is due, at most `longest` seconds."""
        due = self.control.next_due
        self.now = max(self.now, self.now + longest if due is None else min(due, self.now + longest))

    def tick(self) -> None:
        self.step += 1
        self.now += GRACE_STEPS
        for agent in self.agents.values():
            agent.outbox = [told for told in agent.outbox if self.now < told[-1] + REPORT_SECONDS]
            if agent.cut_since is not None and self.now >= agent.cut_since + KEEPALIVE_SECONDS:
                self.disconnect(agent)
        self.effects(self.control.tick(self.now))
        self.check()

    # -- what must hold ------------------------------------------------------------------------------------------

    def check(self) -> None:
        for flights in (self.routed, self.flying):
            for name, flight in flights.items():
                self._check_route(name, flight)
        for model in self.control.state.models.values():
            self._check_waits(model)
        for key, agent in self.agents.items():
            known = self.control.state.replica(key)
            if known is not None and agent.honest:
                taken = known.memory.taken
                assert 0 <= taken <= agent.memory, f"{key} has {agent.memory} bytes, {taken} are promised"

    def _check_waits(self, model: Model) -> None:
        """Nothing is on its way without an owner, a reason and a time at which it is looked at again."""
        waits = [orphan_waits(self.control, where, orphan, model) for (where, _), orphan in model.orphans.items()]
        due = self.control.next_due
        for version in model.versions.values():
            for index, status in version.replicas.items():
                wait = copy_waits(self.control, model, version, index)
                if wait is not None and (wait.due is not None or status.state not in MAY_WAIT_FOR_AN_EVENT):
                    waits.append(wait)
        for wait in waits:
            assert wait.owner, (model.name, wait)
            assert wait.reason, (model.name, wait)
            assert wait.due is not None, (model.name, wait)
            assert due is not None, (model.name, wait)
            assert due <= wait.due, (model.name, wait, due)
            assert wait.due > self.now, (model.name, wait, self.now)

    def _check_route(self, name: str, flight: Flight) -> None:
        for upstream in flight.plan.upstreams:
            if upstream.version != flight.plan.routed:
                continue
            for endpoint in upstream.endpoints:
                agent = self.agents[ReplicaKey(upstream.server, endpoint.replica)]
                key = VersionKey(name, upstream.version)
                if agent.honest and (agent.never_lost or agent.known_since < flight.step):
                    assert key in agent.held, f"{name} is routed to {agent.key}, which does not hold {key}"
                told = [operation.kind for operation in agent.inbox if operation.key == key]
                unloads = "unload" in told and agent.honest
                assert not unloads, f"{name} is routed to {agent.key}, which is told to unload {key}"

    # -- the end -------------------------------------------------------------------------------------------------

    def endure(self, silent: Agent) -> None:
        """All are back but one, which is connected, takes what it is told, and answers nothing for hours.

        So long that it is given up twice: a copy that fits nowhere else at the first time is asked of it once more, and
        what others free in the meantime is found at the second.
        """
        for agent in self.agents.values():
            agent.fail_next.clear()
            if not agent.honest or agent.cut_since is not None:
                self.disconnect(agent)
            self.connect(agent)
            agent.silent_until = 0.0
        silent.silent_until = self.now + 2 * LONG_SILENCE
        while self.now < silent.silent_until - 1:
            self._drain_queues(but=silent)
            for model in list(self.control.state.models.values()):
                if model.route_error and not model.deleted:
                    self.load(model.latest.definition)
            self.wait(2 * LONG_SILENCE)
            self.tick()
        self._drain_queues(but=silent)

    def calm_down(self) -> None:
        """No more faults: everybody is back, everything asked for is done and acknowledged."""
        for agent in self.agents.values():
            agent.fail_next.clear()
            agent.silent_until = 0.0
            if not agent.honest or agent.cut_since is not None:
                self.disconnect(agent)
            self.connect(agent)
            self.tick()
        for _ in range(60):
            self._drain_queues()
            for model in list(self.control.state.models.values()):
                if model.route_error and not model.deleted:
                    self.load(model.latest.definition)
            due = self.control.next_due
            if self._is_quiet() and (due is None or due > self.now + 3 * 3_600):
                return
            if self._is_quiet():
                self.wait(3 * 3_600)
            self.tick()
        raise AssertionError("the world does not come to rest")

    def _is_quiet(self) -> bool:
        busy = any(agent.inbox or agent.outbox for agent in self.agents.values())
        errors = any(model.route_error and not model.deleted for model in self.control.state.models.values())
        return not (busy or errors or self.waiting or self.flying)

    def _drain_queues(self, but: Agent | None = None) -> None:
        for _ in range(2_000):
            for name in list(self.waiting):
                self.take(name)
            for name in list(self.flying):
                self.ack(name)
                self.check()
            answering = [agent for agent in self.agents.values() if agent is not but]
            for agent in answering:
                agent.work(0, self.now)
                self.deliver(agent)
                self.check()
            if not (self.waiting or self.flying or any(a.inbox or a.outbox for a in answering)):
                return
        raise AssertionError("instructions never end")


def _is_on(plan: RoutePlan, version: int, server: str) -> bool:
    return any(upstream.version == version and upstream.server == server for upstream in plan.upstreams)


def restored(state: State) -> tuple[State, set[ReplicaKey]]:
    """What a store keeps of a state: what was wished for, and which replicas there were."""
    kept = State()
    for name, model in state.models.items():
        versions = {
            number: Version(number, version.definition, version.created, version.server)
            for number, version in model.versions.items()
        }
        kept.models[name] = Model(name, versions, model.deleted_at)
    known = set()
    for name, server in state.servers.items():
        kept.servers[name] = Server(name, server.shared, server.expected, server.minimum, server.maximum)
        known |= {ReplicaKey(name, index) for index in server.replicas}
    return kept, known


def plan_of(world: World, name: str) -> RoutePlan:
    """What Envoy has for a model."""
    return world.routed[name].plan if name in world.routed else NO_ROUTE
