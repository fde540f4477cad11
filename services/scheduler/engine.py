"""Runs the steps one after the other and carries out their effects."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from mlops.agent import agent_pb2
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler import metrics
from services.scheduler.core.decisions import Core
from services.scheduler.core.effects import (
    BecameReady,
    Effect,
    Instruction,
    ModelChanged,
    PipelineChanged,
    PublishRoutes,
    SaveMembers,
    SaveModel,
    SavePipeline,
    SaveServer,
    SendLoad,
    SendUnload,
    ServerChanged,
    Tell,
)
from services.scheduler.core.members.fleet import Fleet, Kind, Member
from services.scheduler.core.members.instructions import instruction_message
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.models.lifecycle import ModelState, version_status
from services.scheduler.core.models.status import model_status, server_status
from services.scheduler.core.pipelines.control import PipelineControl
from services.scheduler.core.pipelines.state import Pipelines
from services.scheduler.core.state import ReplicaKey, VersionKey
from services.scheduler.envoy.publisher import Outcome, Publisher
from services.scheduler.envoy.server import XdsServer
from services.scheduler.feeds.feed import Coalescer, Feed
from services.scheduler.feeds.pipelines import PipelineNews
from services.scheduler.links.link import Link
from services.scheduler.links.members import MemberLinks
from services.scheduler.links.unsent import Unsent
from services.scheduler.sharing import Sharing
from services.scheduler.store.database import Store
from services.scheduler.uid import UidMaker
from shared import timing
from shared.logs import logger

SERVER_FEED_PERIOD: Final = 0.25
"""Seconds; a burst of model changes is one message about their server."""
_log = logger("engine")


class Engine:
    """Everything happens on one event loop, so a step and its effects are never interleaved with another's."""

    def __init__(
        self, store: Store, xds: XdsServer, sharing: Sharing, retry_seconds: float = timing.RETRY_SECONDS
    ) -> None:
        """`retry_seconds` is for how long Envoy tries to reach what answers for a route."""
        self.core = restored_core(store, sharing)
        self.control = self.core.models
        self.model_feed: Feed[pb.ModelStatusResponse] = Feed()
        self.server_feed: Feed[pb.ServerStatusResponse] = Feed()
        self.pipelines = PipelineNews(self.core)
        self.members = MemberLinks()
        self.ready = asyncio.Event()
        self.envoys_behind = xds.behind
        self.new_uid = UidMaker()
        self._store = store
        self._topics = sharing.topics
        self._publisher = Publisher(xds, self._routed, retry_seconds)
        self._unsent = Unsent()
        store.watchers.append(self._stored)
        self._server_changes = Coalescer(SERVER_FEED_PERIOD, self._publish_server)
        self._agents: dict[ReplicaKey, Link[agent_pb2.ModelOperationMessage]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sessions = 0
        self._closing = False
        self._logged: dict[str, tuple[int, ModelState, str]] = {}
        """What was last logged of each model, so that a log line means a change."""

    async def run(self, settle_seconds: float) -> None:
        """Start from the restored state and publish routes for ever."""
        pipelines = len(self.core.pipelines.pipelines.by_name)
        awaited = len(self.control.awaited)
        _log.info("restored", models=len(self.control.state.models), pipelines=pipelines, awaited_replicas=awaited)
        await self.apply(lambda now: self.core.start(now, settle_seconds))
        await self._publisher.run(self.ready)

    def close(self) -> None:
        """Subscriptions that end from here on are the scheduler's own doing."""
        self._closing = True

    def apply(self, step: Callable[[float], Iterable[Effect]]) -> Awaitable[object]:
        """Run one step at once. Await the result before acknowledging: it is done when the step is on disk.

        Peers are instructed when what the instruction follows from is on disk; routes are published at once, since
        Envoy is only ever given what works now. The result raises Unavailable when the step could not be written.
        """
        started = time.perf_counter()
        now = time.time()
        effects = self.core.follow(step(now), now)
        metrics.STEP_SECONDS.observe(time.perf_counter() - started)
        writes = self._save(effects)
        for effect in effects:
            if isinstance(effect, Instruction) and self._store.stored < self._store.saved:
                self._unsent.add(effect, after=self._store.saved)
            else:
                self._carry_out(effect)
        metrics.UNPLACED_MODELS.set(len(self.control.state.unplaced))
        self._arm_timer()
        return asyncio.gather(*writes)

    # -- agents --------------------------------------------------------------------------------------------------

    def new_session(self) -> int:
        self._sessions += 1
        return self._sessions

    def attach_agent(self, key: ReplicaKey, link: Link[agent_pb2.ModelOperationMessage]) -> None:
        """Instructions for this replica go to `link`, which takes over from the one before."""
        before = self._agents.get(key)
        if before is not None:
            _log.warning("a new agent takes over this replica", server=key.server, replica=key.replica)
            before.end()
        self._agents[key] = link
        metrics.AGENTS_CONNECTED.set(len(self._agents))

    def detach_agent(self, key: ReplicaKey, link: Link[agent_pb2.ModelOperationMessage]) -> None:
        if self._agents.get(key) is link:
            del self._agents[key]
        metrics.AGENTS_CONNECTED.set(len(self._agents))

    # -- gateways and dataflow engines ---------------------------------------------------------------------------

    async def attach_member(self, kind: Kind, member: Member, link: Link[Any]) -> None:
        """Instructions for this member go to `link`, which takes over from the one before."""
        self.members.attach(kind, member.name, link)
        await self.apply(lambda now: self.core.member_joined(kind, member, now))

    def detach_member(self, kind: Kind, member: Member, link: Link[Any]) -> None:
        self.members.detach(kind, member.name, link)
        if self._closing:
            return  # it was not the member that left: it is waited for after the restart
        self.apply(lambda now: self.core.member_left(kind, member.name, member.session, now))

    # -- effects -------------------------------------------------------------------------------------------------

    def _save(self, effects: Iterable[Effect]) -> list[asyncio.Future[None]]:
        models = {effect.model for effect in effects if isinstance(effect, SaveModel)}
        servers = {effect.server for effect in effects if isinstance(effect, SaveServer)}
        pipelines = {effect.pipeline for effect in effects if isinstance(effect, SavePipeline)}
        kinds = {effect.kind for effect in effects if isinstance(effect, SaveMembers)}
        state, known_pipelines = self.control.state, self.core.pipelines.pipelines.by_name
        return [
            *(self._store.save_model(name, state.models.get(name)) for name in sorted(models)),
            *(self._store.save_server(name, state.servers.get(name)) for name in sorted(servers)),
            *(self._store.save_pipeline(name, known_pipelines.get(name)) for name in sorted(pipelines)),
            *(self._store.save_members(kind, self.core.fleet(kind).members) for kind in sorted(kinds)),
        ]

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case SendLoad(to, version):
                metrics.LOADS_SENT.labels(to.server).inc()
                self._send(to, version, agent_pb2.ModelOperationMessage.LOAD_MODEL)
            case SendUnload(to, version):
                metrics.UNLOADS_SENT.labels(to.server).inc()
                self._send(to, version, agent_pb2.ModelOperationMessage.UNLOAD_MODEL)
            case PublishRoutes(scope, plan, revision):
                self._publisher.publish(scope, plan, revision)
            case Tell():
                self._tell(effect)
            case ModelChanged(name):
                self._publish_model(name)
            case ServerChanged(name):
                self._server_changes.notify(name)
            case BecameReady():
                _log.info("ready", models=len(self.control.state.models))
                self.ready.set()
            case PipelineChanged(name):
                self.pipelines.changed(name)
            case SaveModel() | SaveServer() | SavePipeline() | SaveMembers():
                pass  # done before, in one commit

    def _send(
        self, to: ReplicaKey, key: VersionKey, operation: agent_pb2.ModelOperationMessage.Operation.ValueType
    ) -> None:
        link, version = self._agents.get(to), self.control.state.version(key)
        unloads = operation == agent_pb2.ModelOperationMessage.UNLOAD_MODEL
        if link is None or (version is None and not unloads):
            return  # the agent is told what is missing when it registers again
        # What is to be unloaded may be unknown here: its name is enough.
        definition = version.definition if version is not None else pb.Model(meta=pb.MetaData(name=key.model))
        model_version = agent_pb2.ModelVersion(model=definition, version=key.version)
        message = agent_pb2.ModelOperationMessage(operation=operation, modelVersion=model_version)
        if not link.send(message):
            _log.error("agent does not take its instructions; disconnecting it", server=to.server, replica=to.replica)
            link.end()

    def _tell(self, effect: Tell) -> None:
        message = instruction_message(effect, self.control.state, self.core.model_gateways, self._topics)
        if message is not None:
            self.members.send(effect, message)

    def _publish_model(self, name: str) -> None:
        model = self.control.state.models.get(name)
        if model is None:
            self._logged.pop(name, None)
            return
        summary = version_status(model, model.latest)
        seen = (model.latest.number, summary.state, summary.reason)
        before = self._logged.get(name, ())
        if before != seen:
            if seen[:2] != before[:2]:
                metrics.MODEL_STATES.labels(summary.state.value).inc()
            self._logged[name] = seen
            _log.info(
                "model", model=name, version=model.latest.number, state=summary.state.value, reason=summary.reason
            )
        self.model_feed.publish(lambda: model_status(model, self.core.model_gateways))

    def _publish_server(self, name: str) -> None:
        server = self.control.state.servers.get(name)
        if server is not None:
            self.server_feed.publish(lambda: server_status(server, self.control.state))

    def _stored(self) -> None:
        for effect in self._unsent.up_to(self._store.stored):
            self._carry_out(effect)
        metrics.STORE_UNWRITTEN.set(self._store.unwritten)
        if self._store.problem:
            metrics.STORE_FAILURES.inc()

    def _routed(self, outcome: Outcome) -> None:
        self.apply(lambda now: self.core.routed(outcome.scope, outcome.revision, outcome.error, now))

    def _arm_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.core.next_due
        if due is not None:
            delay = max(0.0, due - time.time())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.apply(self.core.tick)


def restored_core(store: Store, sharing: Sharing) -> Core:
    """Everything as it was last wanted, and who is to be waited for."""
    state, awaited = store.restore()
    known = store.restore_members()
    fleets = {
        kind: Fleet(
            kind,
            exclusive=kind is not Kind.PIPELINE_GATEWAY,
            known=known[kind],
            owners_per_key=sharing.owners_per_key,
        )
        for kind in Kind
    }
    gateways = ModelGateways(state, fleets[Kind.MODEL_GATEWAY], sharing.groups, sharing.model_consumers)
    pipelines = Pipelines(
        engines=fleets[Kind.ENGINE],
        gateways=fleets[Kind.PIPELINE_GATEWAY],
        groups=sharing.groups,
        max_consumers=sharing.pipeline_consumers,
        by_name=store.restore_pipelines(),
    )
    return Core(Control(state, awaited), gateways, PipelineControl(pipelines))
