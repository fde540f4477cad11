"""The models of this replica: loads, unloads and brings them back, one step at a time for each model."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

from mlops.agent import agent_pb2
from mlops.scheduler import scheduler_pb2

from services.agent.core.holdings import (
    HeldModel,
    Holdings,
    ModelState,
    internal_name_of,
    same_model,
)
from services.agent.core.recovery import Recovery, plan_recovery
from services.agent.metrics.endpoint import AgentMetrics
from services.agent.models.server_cleanup import ServerCleanup
from services.agent.models.state_files import StateFiles
from services.agent.models.turns import Turns
from services.agent.repository.folders import Repository
from services.agent.server.client import InferenceServer, ServerRejected
from services.agent.spans import DOWNLOAD, LOAD, Request, begin
from services.agent.storage.artifacts import Artifacts
from shared.backoff import Attempts
from shared.errors import DeadlineExceeded, NotFound, SeldonError, Unavailable
from shared.logs import logger
from shared.model_definition import required_bytes
from shared.threads import to_its_end
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import OFF, Tracer

_log = logger("models")

_PARALLEL_SERVER_LOADS = 8
_PARALLEL_RELOADS = 4
_LONG_LOAD_SECONDS = 2.0
"""A load that takes longer does not hold up those behind it any more."""
_CLEAN_UP_SECONDS = 10.0
"""How long at most others wait for it."""

ReloadFailed = Callable[[agent_pb2.ModelVersion, str], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    load_attempts: int
    load_seconds: float
    """For one load as a whole: download, attempts and waiting for the server."""
    unload_attempts: int
    unload_seconds: float
    server_load_seconds: float
    """For the server alone, to load one model once."""
    server_unload_seconds: float


class Models:
    """Joins the bookkeeping (`holdings`) with disk, rclone and inference server.

    Per internal name there is one lock; whoever holds it may change that model. No model waits for another's server.
    """

    def __init__(
        self,
        holdings: Holdings,
        artifacts: Artifacts,
        repository: Repository,
        state_files: StateFiles,
        server: InferenceServer,
        metrics: AgentMetrics,
        limits: Limits,
        tracer: Tracer = OFF,
    ) -> None:
        self.holdings = holdings
        self._artifacts = artifacts
        self._repository = repository
        self._state_files = state_files
        self._server = server
        self._metrics = metrics
        self._limits = limits
        self._tracer = tracer
        self._locks: dict[str, asyncio.Lock] = {}
        self._bringing_back: dict[str, asyncio.Task[int]] = {}
        self._waiting: Counter[str] = Counter()
        self._given_up: set[str] = set()
        """Models that the server may still be loading although nobody waits for it."""
        self._cleanup = ServerCleanup(server, repository)
        self._server_loads = Turns(_PARALLEL_SERVER_LOADS, _LONG_LOAD_SECONDS)
        self._reloads = Turns(_PARALLEL_RELOADS, _LONG_LOAD_SECONDS)

    @contextlib.asynccontextmanager
    async def _locked(self, internal: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(internal, asyncio.Lock())
        self._waiting[internal] += 1
        try:
            async with lock:
                yield
        finally:
            self._waiting[internal] -= 1
            if not self._waiting[internal]:
                del self._waiting[internal], self._locks[internal]

    async def close(self) -> None:
        tasks = list(self._bringing_back.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._cleanup.close()

    async def take_up(self) -> None:
        """Read what an earlier process held; `reconcile` then tells what the server still has of it."""
        for internal, definition in (await asyncio.to_thread(self._state_files.read_all)).items():
            spec = definition.model.modelSpec
            memory = required_bytes(spec, spec.modelRuntimeInfo)
            held = self.holdings.put(HeldModel(internal, definition, ModelState.LOST, memory, loads=1))
            self._metrics.held(internal, held.memory_bytes)

    async def load(self, definition: agent_pb2.ModelVersion, span: Span = NO_SPAN) -> HeldModel:
        """Bring a model into the server; one held with the same definition is returned at once. Raises SeldonError."""
        internal = internal_name_of(definition)
        async with self._locked(internal):
            held = self.holdings.get(internal)
            if held is not None and same_model(held.definition, definition):
                return await self._redefined(held, definition)
            if held is not None:
                await self._unload(held, span)
            return await self._load_new(internal, definition, span)

    async def _redefined(self, held: HeldModel, definition: agent_pb2.ModelVersion) -> HeldModel:
        """Keep the newest words for a model that stays as it is, for instance its number of replicas."""
        updated = _with_runtime(definition, held.definition.model.modelSpec.modelRuntimeInfo)
        if updated != held.definition:
            await asyncio.to_thread(self._state_files.write, held.internal, updated)
            held = self.holdings.put(replace(held, definition=updated))
        return held

    async def _load_new(self, internal: str, definition: agent_pb2.ModelVersion, span: Span) -> HeldModel:
        self.holdings.put(HeldModel(internal, definition, ModelState.DOWNLOADING))
        remains = self._cleanup.give_up(internal)
        spec = definition.model.modelSpec
        try:
            async with asyncio.timeout(self._limits.load_seconds):
                with self._tracer.below(span, DOWNLOAD):
                    runtime = await self._download(internal, spec)
                self.holdings.reserve(internal, required_bytes(spec, runtime))
                self.holdings.change(internal, ModelState.LOADING)
                await self._load_into_server(internal, span)
            described = _with_runtime(definition, runtime)
            await asyncio.to_thread(self._state_files.write, internal, described)
        except BaseException as error:
            await self._discard(internal, error, remains)
            if isinstance(error, TimeoutError):
                sentence = f"load of {internal} not finished after {self._limits.load_seconds:.0f} s"
                raise DeadlineExceeded(sentence) from None
            raise
        held = self.holdings.put(replace(self.holdings.loaded(internal), definition=described))
        self.holdings.used(internal, int(time.time()))
        self._metrics.loaded(internal, held.memory_bytes)
        return held

    async def _download(self, internal: str, spec: scheduler_pb2.ModelSpec) -> scheduler_pb2.ModelRuntimeInfo:
        async with self._artifacts.downloaded(internal, spec, self._limits.load_seconds) as folder:
            return await to_its_end(self._repository.build, folder, internal, spec)

    async def _load_into_server(self, internal: str, span: Span) -> None:
        """Attempts are for failures that may pass; waiting for a server that is down does not use one up."""
        async for attempt in Attempts(0.2, 5.0, self._limits.load_attempts):
            await self._server.wait_live(self._limits.load_seconds)
            try:
                async with self._server_loads.turn():
                    await self._load_once(internal, span)
                return
            except Unavailable as error:
                _log.warning("load failed, may pass", model=internal, attempt=attempt.number, reason=str(error))
                if attempt.is_last:
                    raise

    async def _load_once(self, internal: str, span: Span) -> None:
        seconds = self._limits.server_load_seconds
        if internal in self._given_up:
            try:
                async with asyncio.timeout(seconds):
                    await self._server.wait_not_loading(internal)
            except TimeoutError:
                sentence = (
                    f"{self._server.kind} is still busy with an earlier load of {internal}, waited {seconds:.0f} s"
                )
                raise DeadlineExceeded(sentence) from None
        self._given_up.add(internal)
        try:
            await self._server.load(internal, seconds, span)
        except ServerRejected:
            self._given_up.discard(internal)
            raise
        self._given_up.discard(internal)

    async def _discard(self, internal: str, error: BaseException, remains: bool) -> None:
        """Leave nothing of a model that did not load, neither here nor in the server; `remains`: it may be there from
        an earlier load."""
        held = self.holdings.get(internal)
        self.holdings.drop(internal)
        if not remains and (held is None or held.state is not ModelState.LOADING):
            await to_its_end(self._repository.remove, internal)
            return
        self._cleanup.begin(internal)
        if isinstance(error, ServerRejected):
            # The load has ended, so this will too.
            await self._cleanup.settled(internal, at_most=_CLEAN_UP_SECONDS)

    async def unload(self, internal: str, span: Span = NO_SPAN) -> None:
        """Take a model out of the server and remove its files; an unknown one is fine. Raises SeldonError.

        One that is being loaded again is not waited for.
        """
        bringing = self._bringing_back.get(internal)
        if bringing is not None:
            bringing.cancel()
        async with self._locked(internal):
            held = self.holdings.get(internal)
            if held is not None:
                await self._unload(held, span)

    async def _unload(self, held: HeldModel, span: Span) -> None:
        internal = held.internal
        self.holdings.change(internal, ModelState.UNLOADING)
        try:
            # First of all: a model without this file is removed if the agent ends in the middle.
            await asyncio.to_thread(self._state_files.remove, internal)
            if held.state is ModelState.LOADED:
                async with asyncio.timeout(self._limits.unload_seconds):
                    await self._unload_from_server(internal, span)
        except BaseException as error:
            await to_its_end(self._state_files.write, internal, held.definition)
            self.holdings.change(internal, held.state)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(f"unload of {internal} not finished in time") from None
            raise
        await self._forget(internal)
        if held.state is ModelState.LOADED:
            await to_its_end(self._repository.remove, internal)
        else:
            # The server may never answer for a model that it did not load.
            self._cleanup.begin(internal)

    async def _unload_from_server(self, internal: str, span: Span) -> None:
        async for attempt in Attempts(0.2, 5.0, self._limits.unload_attempts):
            try:
                await self._server.unload(internal, self._limits.server_unload_seconds, span)
                return
            except Unavailable:
                if not await self._server.live():
                    # A server that is gone holds nothing; should it come back with the model, `reconcile` unloads it.
                    return
                if attempt.is_last:
                    raise

    async def _forget(self, internal: str) -> None:
        """Know nothing of it any more; what is left of it is another's business."""
        self.holdings.drop(internal)
        await asyncio.to_thread(self._state_files.remove, internal)
        self._metrics.unloaded(internal)

    async def ensure_loaded(self, internal: str, seen_loads: int = 0, request: Request | None = None) -> int:
        """Return the number of the load that serves now, after loading the model again if need be.

        A caller whom the server told that it lacks the model gives the number it relied on (`seen_loads`): of many such
        callers one loads and the others find a newer number. `request` is the one that needs it. Raises NotFound for a
        model that this replica does not hold, and what a load raises.
        """
        held = self._held(internal)
        if held.state is ModelState.LOADED and held.loads != seen_loads:
            return held.loads
        # A task of its own: it goes on when the request that needed it gives up, and serves those that come after.
        bringing = self._bringing_back.get(internal)
        if bringing is None:
            work = self._bring_back(internal, seen_loads, request)
            bringing = asyncio.create_task(work, name=f"bring back {internal}")
            self._bringing_back[internal] = bringing
            bringing.add_done_callback(lambda done: self._brought_back(internal, done, request))
        try:
            return await asyncio.shield(bringing)
        except asyncio.CancelledError:
            if bringing.cancelled() and not _being_cancelled():
                raise NotFound(f"model {internal} is being unloaded from this replica") from None
            raise

    def _brought_back(self, internal: str, done: asyncio.Task[int], request: Request | None) -> None:
        del self._bringing_back[internal]
        if not done.cancelled() and (error := done.exception()) is not None:
            fields = request.log_fields if request else {}
            _log.warning("model not brought back", model=internal, reason=str(error), **fields)

    async def _bring_back(self, internal: str, seen_loads: int, request: Request | None) -> int:
        async with self._locked(internal):
            held = self._held(internal)
            if held.state is not ModelState.LOADED or held.loads == seen_loads:
                held = await self._reload(internal, request)
            return held.loads

    def _held(self, internal: str) -> HeldModel:
        held = self.holdings.get(internal)
        if held is None or held.state is ModelState.UNLOADING:
            raise NotFound(f"model {internal} is not on this replica")
        return held

    async def _reload(self, internal: str, request: Request | None) -> HeldModel:
        self.holdings.change(internal, ModelState.LOADING)
        try:
            with begin(self._tracer, LOAD, internal, request) as span:
                await self._load_into_server(internal, span)
        except BaseException:
            self.holdings.change(internal, ModelState.LOST)
            raise
        return self.holdings.loaded(internal)

    def server_lost(self) -> None:
        """The connection to the server is gone, and with it perhaps everything it had in memory."""
        for held in self.holdings:
            if held.state is ModelState.LOADED:
                self.holdings.change(held.internal, ModelState.LOST)

    async def reconcile(self) -> frozenset[str]:
        """Compare a (re)started server with what is held: adopt what it has, remove what nobody knows.

        Gives the names to `restore`. Raises Unavailable or ServerRejected when the server cannot say what it has.
        """
        index = await self._server.index()
        on_disk = await asyncio.to_thread(self._repository.names)
        held = {model.internal: model for model in self.holdings}
        known = {name for name, model in held.items() if model.announced}
        busy = held.keys() - known
        plan = plan_recovery(known, on_disk - busy, {name: state for name, state in index.items() if name not in busy})
        for internal in plan.adopt:
            if held[internal].state is ModelState.LOST:
                self.holdings.change(internal, ModelState.LOADED)
        await self._clean_up(plan)
        _log.info(
            "compared with the server", adopted=len(plan.adopt), reload=len(plan.reload), unloaded=len(plan.unload)
        )
        return plan.reload

    async def _clean_up(self, plan: Recovery) -> None:
        for internal in plan.unload | plan.remove:
            async with self._locked(internal):
                if self.holdings.get(internal) is None:  # not loaded meanwhile
                    self._cleanup.begin(internal)
        await self._cleanup.settled(*plan.unload, *plan.remove, at_most=_CLEAN_UP_SECONDS)
        for internal in plan.forget:
            await self._forget(internal)

    async def restore(self, names: frozenset[str], failed: ReloadFailed) -> None:
        """Load lost models again, a few at a time; those that the server refuses for good are dropped and reported."""
        await asyncio.gather(*(self._restore(internal, failed) for internal in sorted(names)))

    async def _restore(self, internal: str, failed: ReloadFailed) -> None:
        async with self._reloads.turn():
            held = self.holdings.get(internal)
            if held is None or held.state is not ModelState.LOST:
                return
            try:
                await self.ensure_loaded(internal)
            except SeldonError as error:
                if isinstance(error, NotFound) or (isinstance(error, Unavailable) and not await self._server.live()):
                    return  # unloaded meanwhile, or the server went away again: its return starts this anew
                _log.error("reload failed", model=internal, reason=str(error))
                async with self._locked(internal):
                    if self.holdings.get(internal) is not None:
                        self._cleanup.begin(internal)
                        await self._forget(internal)
                await failed(held.definition, str(error))


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _with_runtime(
    definition: agent_pb2.ModelVersion, runtime: scheduler_pb2.ModelRuntimeInfo
) -> agent_pb2.ModelVersion:
    described = agent_pb2.ModelVersion()
    described.CopyFrom(definition)
    described.model.modelSpec.modelRuntimeInfo.CopyFrom(runtime)
    return described
