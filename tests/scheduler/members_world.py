"""The scheduler's steps among simulated dataflow engines, gateways and an Envoy: one history at a time.

`MembersWorld` checks at every instruction what must never happen: two members reading one partition, a gateway told to
stop while Envoy may send it requests, an old version ended before the new one is ready, an instruction to a stranger.
"""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.decisions import Core
from services.scheduler.core.effects import BecameReady, Effect, PublishRoutes, SaveMembers, SavePipeline, Tell
from services.scheduler.core.members.deployment import Phase
from services.scheduler.core.members.fleet import Fleet, Kind, Member
from services.scheduler.core.members.rounds import Answer, Operation
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.pipelines.control import PipelineControl
from services.scheduler.core.pipelines.state import Pipeline, Pipelines
from services.scheduler.core.routing import NO_GATEWAY, PipelinePlan
from services.scheduler.core.state import Address, State
from services.scheduler.store.pipelines import read_pipelines, write_pipeline
from services.scheduler.store.schema import migrate
from shared import timing
from shared.errors import StateConflict
from shared.kafka.names import GroupNames
from shared.owners import share
from tests.scheduler.world import restored

PARTITIONS = 12
LONG_SILENCE = 3_600.0
"""Longer than the scheduler waits for any answer; seconds."""
KEEPALIVE_SECONDS = 60.0
"""After which a link that was cut without notice is found to be dead."""
GATEWAY = "gateway"
LEAVING = frozenset({Phase.STOPPING, Phase.STOP_FAILED})
LASTING = frozenset({Phase.READY, Phase.UNKNOWN})
"""Of what a member has unknown, it is told as soon as its fleet has settled or Envoy sends nothing there any more."""
Work = tuple[str, str]
"""Resource and uid of the version; models have no uid."""


@dataclass
class Peer:
    """A gateway or an engine, and what it runs."""

    kind: Kind
    name: str
    address: Address | None = None
    session: int = 0
    connected: bool = False
    inbox: list[Tell] = field(default_factory=list)
    outbox: list[Answer] = field(default_factory=list)
    fail_next: bool = False
    may_run: dict[Work, tuple[str, ...]] = field(default_factory=dict)
    """What it was told to run and has not reported as ended, with the owners that it was told."""
    excused: set[Work] = field(default_factory=set)
    """Of these, what the scheduler need not wait for: a version that reads no more, or one not let go in time."""
    asked_to_stop: dict[Work, float] = field(default_factory=dict)
    silent_until: float = 0.0
    """It takes what it is told and does nothing before this time; seconds."""
    cut_since: float | None = None
    """The link is dead and neither end has noticed; what is said over it is lost."""
    honest: bool = True
    """False once it has said what is not so: the scheduler cannot know then what it runs."""
    said: list[Answer] = field(default_factory=list)
    """The last things it answered, to be heard once more later."""

    def work(self, now: float) -> None:
        """Carry out one instruction."""
        if not self.inbox or now < self.silent_until:
            return
        tell = self.inbox.pop(0)
        told, success = tell.instruction, not self.fail_next
        self.fail_next = False
        uid = tell.pipeline.uid if tell.pipeline else ""
        version = tell.pipeline.version if tell.pipeline else told.deployment.version
        reason = "" if success else "out of luck"
        self.outbox.append(
            Answer(self.name, tell.resource, version, told.timestamp, told.operation, success, reason, uid)
        )


@dataclass
class Flight:
    plan: PipelinePlan
    revision: int


class MembersWorld:
    """Everything outside the scheduler, and the scheduler itself."""

    def __init__(self, peers: Iterable[Peer], owners_per_key: int = 1) -> None:
        self.now = 1_000.0
        self.sessions = itertools.count(1)
        self.uids = itertools.count(1)
        self.owners_per_key = owners_per_key
        self.peers = {(peer.kind, peer.name): peer for peer in peers}
        self.known: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        self.disk = sqlite3.connect(":memory:", isolation_level=None)
        self.disk.execute("PRAGMA foreign_keys=ON")
        migrate(self.disk, Path("memory"))
        self.waiting: dict[str, Flight] = {}
        self.flying: dict[str, Flight] = {}
        self.routed: dict[str, PipelinePlan] = {}
        self.had_route: set[str] = set()
        """Pipelines that have been routed since they were loaded."""
        self.ran: set[str] = set()
        """Uids of versions that were ready everywhere at some time."""
        self.core = self._core(State(), {})
        self.effects(self.core.start(self.now, 0.0))

    def _core(self, state: State, pipelines: dict[str, Pipeline]) -> Core:
        fleets = {
            kind: Fleet(
                kind,
                exclusive=kind is not Kind.PIPELINE_GATEWAY,
                known=self.known[kind],
                owners_per_key=self.owners_per_key,
            )
            for kind in Kind
        }
        groups = GroupNames()
        gateways = ModelGateways(state, fleets[Kind.MODEL_GATEWAY], groups, 100)
        known = Pipelines(fleets[Kind.ENGINE], fleets[Kind.PIPELINE_GATEWAY], groups, 100, pipelines)
        return Core(Control(state), gateways, PipelineControl(known))

    @property
    def pipelines(self) -> dict[str, Pipeline]:
        return self.core.pipelines.pipelines.by_name

    # -- effects -------------------------------------------------------------------------------------------------

    def effects(self, effects: Iterable[Effect]) -> None:
        followed = self.core.follow(effects, self.now)
        for name in {effect.pipeline for effect in followed if isinstance(effect, SavePipeline)}:
            write_pipeline(name, self.pipelines.get(name))(self.disk)
        self._note_ready()
        for effect in followed:
            match effect:
                case Tell():
                    self._told(effect)
                case PublishRoutes(scope, plan, revision) if isinstance(plan, PipelinePlan):
                    self.waiting[scope] = Flight(plan, revision)
                case PublishRoutes(scope, _, revision):
                    self.effects(self.core.routed(scope, revision, "", self.now))  # models have no agent here
                case SaveMembers(kind):
                    self.known[kind] = set(self.core.fleet(kind).members)
                case BecameReady():
                    self._release()
                case _:
                    pass

    def _note_ready(self) -> None:
        engines = self.core.fleet(Kind.ENGINE)
        for pipeline in self.pipelines.values():
            for version in pipeline.ordered():
                if version.engine.everywhere(engines.owners(pipeline.name)):
                    self.ran.add(version.definition.uid)

    def _release(self) -> None:
        """The first answer after a start holds everything that Envoy is to have."""
        self.flying = {scope: self.waiting.pop(scope) for scope in list(self.waiting)}
        for scope in self.routed.keys() - self.flying.keys():
            del self.routed[scope]

    def _told(self, tell: Tell) -> None:
        told = tell.instruction
        peer = self.peers[tell.kind, told.member]
        assert peer.connected, f"{told.member} is told of {tell.resource} and is not connected"
        assert told.timestamp > 0
        work = (tell.resource, tell.pipeline.uid if tell.pipeline else "")
        if told.operation is Operation.CREATE:
            assert peer.name in told.owners
            if tell.kind is not Kind.PIPELINE_GATEWAY:
                self._check_exclusive(peer, work, told.owners)
            peer.may_run[work] = told.owners
            peer.excused.discard(work)
            peer.asked_to_stop.pop(work, None)
        else:
            self._check_stop(tell, peer)
            if not told.again:
                peer.asked_to_stop[work] = self.now
            if self._newer_runs(tell, peer):
                peer.excused.add(work)
        if peer.cut_since is None:
            peer.inbox.append(tell)

    def _check_exclusive(self, starting: Peer, work: Work, owners: tuple[str, ...]) -> None:
        mine = share(owners, starting.name, PARTITIONS)
        for other in self.peers.values():
            if other is starting or other.kind is not starting.kind or not (other.connected and other.honest):
                continue
            for held, held_owners in other.may_run.items():
                if held[0] != work[0] or held in other.excused:
                    continue
                if self.now >= other.asked_to_stop.get(held, self.now) + timing.HAND_OVER:
                    continue
                both = mine & share(held_owners, other.name, PARTITIONS)
                assert not both, f"{starting.name} is to start {work} while {other.name} has {held}: {sorted(both)}"

    def _newer_runs(self, tell: Tell, peer: Peer) -> bool:
        """An engine that has a newer version has given it what comes in."""
        pipeline = self.pipelines.get(tell.resource)
        if pipeline is None or tell.pipeline is None or tell.kind is not Kind.ENGINE:
            return False
        newer = [v.definition.uid for v in pipeline.ordered() if v.number > tell.pipeline.version]
        return any((tell.resource, uid) in peer.may_run for uid in newer)

    def _check_stop(self, tell: Tell, peer: Peer) -> None:
        pipeline = self.pipelines.get(tell.resource)
        if pipeline is None or tell.pipeline is None:
            return
        if tell.kind is Kind.PIPELINE_GATEWAY and peer.address is not None:
            address = (peer.address.host, peer.address.http_port, peer.address.grpc_port)
            for plan in self._possible_plans(pipeline.scope):
                assert address not in plan.gateways, f"{peer.name} is to stop {tell.resource}, which Envoy sends there"
        ends = tell.kind is Kind.ENGINE and not tell.instruction.deployment.wanted and not pipeline.is_ending
        current = {version.definition.uid for version in pipeline.ordered()}
        if ends and tell.pipeline.uid in current:
            newer = {v.definition.uid for v in pipeline.ordered() if v.number > tell.pipeline.version}
            assert newer & self.ran, f"{tell.resource} {tell.pipeline.version} ends before a newer one was ready"

    def _possible_plans(self, scope: str) -> list[PipelinePlan]:
        plans = [self.routed[scope]] if scope in self.routed else []
        return [*plans, *([self.flying[scope].plan] if scope in self.flying else [])]

    # -- what happens --------------------------------------------------------------------------------------------

    def load(self, submitted: pb.Pipeline) -> None:
        uid = f"uid{next(self.uids)}"
        self.effects(self.core.pipelines.load(submitted, uid, self.now))

    def unload(self, name: str) -> None:
        self.had_route.discard(name)
        self.effects(self.core.pipelines.unload(name, self.now))

    def connect(self, peer: Peer, *, fresh: bool) -> None:
        """Also when it is connected: the second subscription takes over. A fresh process runs nothing."""
        if fresh:
            peer.may_run.clear()
        peer.excused.clear()
        peer.asked_to_stop.clear()
        peer.inbox.clear()
        peer.outbox.clear()
        peer.session, peer.connected, peer.cut_since = next(self.sessions), True, None
        peer.said.clear()
        peer.honest = True
        member = Member(peer.name, peer.session, peer.address)
        self.effects(self.core.member_joined(peer.kind, member, self.now))

    def disconnect(self, peer: Peer) -> None:
        if not peer.connected:
            return
        peer.connected, peer.cut_since = False, None
        peer.inbox.clear()
        peer.outbox.clear()
        self.effects(self.core.member_left(peer.kind, peer.name, peer.session, self.now))

    def deliver(self, peer: Peer, *, keep: bool = False) -> None:
        """One answer reaches the scheduler; with `keep`, it will do so once more."""
        if not peer.outbox or peer.cut_since is not None:
            return
        answer = peer.outbox[0] if keep else peer.outbox.pop(0)
        work = (answer.resource, answer.uid)
        if answer.operation is Operation.DELETE and answer.success and work in peer.asked_to_stop:
            later = [tell for tell in peer.inbox if tell.resource == answer.resource]
            if not any(tell.instruction.operation is Operation.CREATE for tell in later):
                peer.may_run.pop(work, None)
        self.answer(peer, answer)

    def answer(self, peer: Peer, answer: Answer) -> None:
        """Something that a member says, asked or not."""
        if peer.cut_since is None and peer.connected:
            peer.said = [*peer.said, answer][-5:]
            with contextlib.suppress(StateConflict):
                self.effects(self.core.answered(peer.kind, answer, self.now))

    def take(self, scope: str) -> None:
        if scope in self.waiting and scope not in self.flying:
            self.flying[scope] = self.waiting.pop(scope)

    def ack(self, scope: str) -> None:
        if scope in self.flying:
            flight = self.flying.pop(scope)
            self.routed[scope] = flight.plan
            self.effects(self.core.routed(scope, flight.revision, "", self.now))

    def nack(self, scope: str) -> None:
        if scope in self.flying and self.flying[scope].plan != NO_GATEWAY:
            flight = self.flying.pop(scope)
            self.effects(self.core.routed(scope, flight.revision, "bad", self.now))

    def restart(self, settle_seconds: float) -> None:
        """The scheduler ends and starts again from what is stored; Envoy and the members run on."""
        for fleet_kind in (Kind.ENGINE, Kind.MODEL_GATEWAY):
            self._excuse_what_is_moving(fleet_kind)
        for peer in self.peers.values():
            peer.connected, peer.cut_since = False, None
            peer.inbox.clear()
            peer.outbox.clear()
        self.waiting.clear()
        self.routed |= {scope: flight.plan for scope, flight in self.flying.items()}
        self.flying.clear()
        state, _ = restored(self.core.models.state)
        self.core = self._core(state, read_pipelines(self.disk))
        self.effects(self.core.start(self.now, settle_seconds))

    def _excuse_what_is_moving(self, kind: Kind) -> None:
        """What changes owners in the very moment of a restart may be read twice for a moment."""
        if any(peer.asked_to_stop or peer.inbox or peer.outbox for peer in self.peers.values() if peer.kind is kind):
            for peer in self.peers.values():
                if peer.kind is kind:
                    peer.may_run.clear()

    def wait(self, longest: float) -> None:
        """Let time pass until the next thing is due, at most `longest` seconds."""
        due = self.core.next_due
        self.now = max(self.now, self.now + longest if due is None else min(due, self.now + longest))

    def tick(self) -> None:
        self.now += 0.1
        for peer in self.peers.values():
            if peer.cut_since is not None and self.now >= peer.cut_since + KEEPALIVE_SECONDS:
                self.disconnect(peer)
        self.effects(self.core.tick(self.now))
        due = self.core.next_due
        assert due is None or due > self.now, "something is due at once, for ever"
        self._check_routes()
        self._check_waits()

    def _check_waits(self) -> None:
        """Nobody is told anything without a time at which that is looked at again."""
        due = self.core.next_due
        resources = [("model", known.name, [known.gateway]) for known in self.core.models.state.models.values()]
        for pipeline in self.pipelines.values():
            resources.append((GATEWAY, pipeline.name, [pipeline.gateway]))
            resources.append(("engine", pipeline.name, [version.engine for version in pipeline.all_versions()]))
            if not pipeline.acked or pipeline.route_error:
                assert pipeline.route_due is not None, pipeline.name
                assert due is not None, pipeline.name
                assert due <= pipeline.route_due, pipeline.name
        for kind, name, deployments in resources:
            assignments = [each for deployment in deployments for each in deployment.assignments.items()]
            unwanted = {
                id(each): [
                    other.since + timing.LET_GO_PATIENCE
                    for other in deployment.assignments.values()
                    if other.phase in LEAVING
                ]
                for deployment in deployments
                for each in deployment.assignments.values()
                if not deployment.wanted
            }
            lets_go = [
                each.since + timing.HAND_OVER
                for _, each in assignments
                if each.phase in LEAVING and not each.abandoned and kind != GATEWAY
            ]
            for member, assignment in assignments:
                to_go = member not in self._owners(name) or not deployments[0].wanted
                if assignment.phase in LASTING or (kind == GATEWAY and to_go and assignment.phase not in LEAVING):
                    continue  # a gateway that is to go is told so when Envoy sends nothing there any more
                about = (kind, name, member, assignment, due)
                again = assignment.due if assignment.due is not None else assignment.since + timing.HAND_OVER
                # Others let go first: of its partitions, or of the topics that the last one removes.
                again = max([again, *lets_go, *unwanted.get(id(assignment), ())])
                assert due is not None, about
                assert due <= again, about
                assert again > self.now, about

    def _owners(self, name: str) -> tuple[str, ...]:
        pipelines = self.core.pipelines.pipelines
        return pipelines.gateways.owners(pipelines.gateway_key(name))

    def _check_routes(self) -> None:
        for name, pipeline in self.pipelines.items():
            plans = self._possible_plans(pipeline.scope)
            if pipeline.is_ending:
                continue
            if self.routed.get(pipeline.scope, NO_GATEWAY) != NO_GATEWAY:
                self.had_route.add(name)
            if name in self.had_route:
                assert plans, f"{name} has lost its route"
                assert all(plan != NO_GATEWAY for plan in plans), f"{name} has lost its route"

    # -- the end -------------------------------------------------------------------------------------------------

    def endure(self, silent: Peer) -> None:
        """All are back but one, which is connected, takes what it is told, and answers nothing for hours."""
        for peer in self.peers.values():
            peer.fail_next, peer.silent_until = False, 0.0
            if not (peer.connected and peer.honest) or peer.cut_since is not None:
                self.connect(peer, fresh=False)
        silent.silent_until = self.now + LONG_SILENCE
        while self.now < silent.silent_until - 1:
            self._drain_queues()
            self.wait(3_600)
            self.tick()
        self._drain_queues()

    def calm_down(self) -> None:
        """No more faults: everybody is back, everything asked for is done and acknowledged."""
        for peer in self.peers.values():
            peer.fail_next, peer.silent_until = False, 0.0
            if not (peer.connected and peer.honest) or peer.cut_since is not None:
                self.connect(peer, fresh=False)
            self.tick()
        for _ in range(100):
            self._drain_queues()
            due = self.core.next_due
            if self._is_quiet() and (due is None or due > self.now + 3_600):
                return
            if self._is_quiet():
                self.wait(3_600)
            self.tick()
        raise AssertionError("the world does not come to rest")

    def _is_quiet(self) -> bool:
        busy = any(peer.outbox or (peer.inbox and self.now >= peer.silent_until) for peer in self.peers.values())
        return not (busy or self.waiting or self.flying)

    def _drain_queues(self) -> None:
        for _ in range(5_000):
            for scope in list(self.waiting):
                self.take(scope)
            for scope in list(self.flying):
                self.ack(scope)
            for peer in self.peers.values():
                peer.work(self.now)
                self.deliver(peer)
            self._check_routes()
            if self._is_quiet():
                return
        raise AssertionError("instructions never end")

    def runs(self, kind: Kind, resource: str) -> dict[str, list[str]]:
        """Who runs a resource, with the uids that it runs, as the scheduler sees it."""
        pipeline = self.pipelines[resource]
        parts = (
            [("", pipeline.gateway)]
            if kind is Kind.PIPELINE_GATEWAY
            else [(version.definition.uid, version.engine) for version in pipeline.all_versions()]
        )
        found: dict[str, list[str]] = {}
        for uid, part in parts:
            for member, hold in part.assignments.items():
                if hold.phase is Phase.READY:
                    found.setdefault(member, []).append(uid)
        return found
