"""What the scheduler asks for, model by model: the newest wish wins, and each outcome is reported once."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from mlops.agent import agent_pb2

from services.agent.core.holdings import internal_name_of, same_model
from services.agent.models.lifecycle import Models
from services.agent.spans import LOAD, UNLOAD, begin
from shared.errors import SeldonError
from shared.logs import logger
from shared.names import validate_name
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import OFF, Tracer

_log = logger("operations")
_MAX_MESSAGE = 2000

Event = agent_pb2.ModelEventMessage
Operation = agent_pb2.ModelOperationMessage
SendEvent = Callable[[agent_pb2.ModelEventMessage, Span], Awaitable[None]]


class Operations:
    """Runs each operation as a task of its own. Per model they run one after another; one that waited while a newer one
    finished is dropped."""

    def __init__(self, models: Models, send: SendEvent, grace_seconds: float, tracer: Tracer = OFF) -> None:
        self._models = models
        self._send = send
        self._grace_seconds = grace_seconds
        self._tracer = tracer
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = 0
        self._pending: Counter[str] = Counter()
        self._locks: dict[str, asyncio.Lock] = {}
        self._finished: dict[str, int] = {}
        """Arrival number of the newest finished operation, of models with operations pending."""
        self._loading: dict[str, agent_pb2.ModelVersion] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}

    def accept(self, message: agent_pb2.ModelOperationMessage) -> None:
        """Start an operation. A load that is already under way is joined: its outcome is reported once.

        Any other wish ends the load that is under way, which then has no outcome: nobody waits for a server that hangs.
        """
        definition = message.modelVersion
        internal = internal_name_of(definition)
        if message.operation == Operation.LOAD_MODEL:
            under_way = self._loading.get(internal)
            if under_way is not None and same_model(under_way, definition):
                return
            self._end_load(internal)
            self._loading[internal] = definition
        elif message.operation == Operation.UNLOAD_MODEL:
            self._end_load(internal)
            self._loading.pop(internal, None)
        else:
            _log.warning("unknown operation ignored", operation=message.operation, model=internal)
            return
        self._arrived += 1
        self._pending[internal] += 1
        work = self._traced(message, internal, self._arrived)
        task = asyncio.create_task(work, name=f"operation {internal}")
        self._tasks.add(task)
        if message.operation == Operation.LOAD_MODEL:
            self._loads[internal] = task
        task.add_done_callback(self._tasks.discard)

    def _end_load(self, internal: str) -> None:
        task = self._loads.pop(internal, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """End what is under way; half-done loads are cleaned up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reload_failed(self, definition: agent_pb2.ModelVersion, sentence: str) -> None:
        """Report a model that was loaded once and cannot be loaded again."""
        await self._report(definition, Event.LOAD_FAILED, sentence, NO_SPAN)

    async def _traced(self, message: agent_pb2.ModelOperationMessage, internal: str, arrival: int) -> None:
        name = UNLOAD if message.operation == Operation.UNLOAD_MODEL else LOAD
        with begin(self._tracer, name, internal, None) as span:
            await self._run(message, internal, arrival, span)

    async def _run(self, message: agent_pb2.ModelOperationMessage, internal: str, arrival: int, span: Span) -> None:
        unload = message.operation == Operation.UNLOAD_MODEL
        try:
            if unload and self._models.holdings.get(internal) is not None:
                # Requests on their way here were routed before the scheduler withdrew the route.
                await asyncio.sleep(self._grace_seconds)
            async with self._locks.setdefault(internal, asyncio.Lock()):
                if self._finished.get(internal, 0) > arrival:
                    _log.info("outdated operation dropped", model=internal)
                    return
                work = self._unload(internal, span) if unload else self._load(message.modelVersion, span)
                event, sentence = await work
                self._finished[internal] = arrival
                if self._loads.get(internal) is asyncio.current_task():
                    del self._loads[internal]  # its outcome is reported, whatever is wished meanwhile
                if self._loading.get(internal) is message.modelVersion:
                    del self._loading[internal]
            if sentence:
                span.fail(sentence)
            await self._report(message.modelVersion, event, sentence, span)
        finally:
            if self._loading.get(internal) is message.modelVersion:
                del self._loading[internal]
            self._pending[internal] -= 1
            if not self._pending[internal]:
                del self._pending[internal]
                for forgotten in (self._locks, self._finished, self._loads):
                    forgotten.pop(internal, None)

    async def _load(self, definition: agent_pb2.ModelVersion, span: Span) -> tuple[Event.Event.ValueType, str]:
        try:
            validate_name("model", definition.model.meta.name)
            await self._models.load(definition, span)
        except SeldonError as error:
            return Event.LOAD_FAILED, str(error)
        except Exception as error:
            _log.exception("load failed unexpectedly")
            return Event.LOAD_FAILED, f"load of {internal_name_of(definition)} failed: {error!r}"
        return Event.LOADED, ""

    async def _unload(self, internal: str, span: Span) -> tuple[Event.Event.ValueType, str]:
        try:
            await self._models.unload(internal, span)
        except SeldonError as error:
            return Event.UNLOAD_FAILED, str(error)
        except Exception as error:
            _log.exception("unload failed unexpectedly")
            return Event.UNLOAD_FAILED, f"unload of {internal} failed: {error!r}"
        return Event.UNLOADED, ""

    async def _report(
        self, definition: agent_pb2.ModelVersion, event: Event.Event.ValueType, sentence: str, span: Span
    ) -> None:
        internal = internal_name_of(definition)
        message = Event(
            modelName=definition.model.meta.name,
            modelVersion=definition.version,
            event=event,
            message=sentence[:_MAX_MESSAGE],
            availableMemoryBytes=self._models.holdings.available_bytes,
        )
        held = self._models.holdings.get(internal)
        if event == Event.LOADED and held is not None:
            message.runtimeInfo.CopyFrom(held.definition.model.modelSpec.modelRuntimeInfo)
        _log.info("operation finished", model=internal, outcome=Event.Event.Name(event), reason=sentence)
        await self._send(message, span)
