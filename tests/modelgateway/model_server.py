"""An inference server that stands where Envoy is: it takes bytes, notes every call, and answers as it is told."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
import grpc.aio
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from shared.rpc import unlimited

SECONDS = 30.0


@dataclass
class Call:
    model: str
    request: ModelInferRequest
    metadata: list[tuple[str, str | bytes]]
    context: Any

    async def fail(self, code: str, details: str) -> None:
        await self.context.abort(grpc.StatusCode[code], details)


Behaviour: TypeAlias = Callable[[Call], Awaitable[ModelInferResponse | None]]


async def echo(call: Call) -> ModelInferResponse:
    """The inputs as outputs; the reply says which model it was."""
    response = ModelInferResponse.FromString(
        ModelInferRequest(id=call.request.id, inputs=call.request.inputs).SerializeToString()
    )
    response.model_name = f"{call.model}_1"
    response.raw_output_contents.extend(call.request.raw_input_contents)
    await call.context.send_initial_metadata((("x-seldon-route", f":{call.model}_1:"), ("other", "dropped")))
    call.context.set_trailing_metadata((("x-trailer", "t"),))
    return response


@dataclass
class ModelServer:
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """By model; others echo."""
    calls: defaultdict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    busiest: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """By model: the most calls that were here at the same time."""
    port: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _now: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["ModelServer"]:
        server = grpc.aio.server(options=unlimited((("grpc.so_reuseport", 0),)))
        handler: Any = grpc.unary_unary_rpc_method_handler(self._infer)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": handler}),)
        )
        self.port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    async def called(self, model: str, times: int = 1) -> None:
        """Wait until a model was called this many times."""
        async with asyncio.timeout(SECONDS):
            while len(self.calls[model]) < times:
                self._news.clear()
                await self._news.wait()

    async def _infer(self, request: bytes, context: Any) -> bytes:
        metadata = list(context.invocation_metadata())
        model = next(str(value) for name, value in metadata if name == "seldon-model")
        call = Call(model, ModelInferRequest.FromString(request), metadata, context)
        self.calls[model].append(call)
        self._news.set()
        self._now[model] += 1
        self.busiest[model] = max(self.busiest[model], self._now[model])
        try:
            response = await self.behaviours.get(model, echo)(call)
        finally:
            self._now[model] -= 1
        assert response is not None
        return response.SerializeToString()


def gated() -> tuple[Behaviour, asyncio.Event]:
    """Calls that wait for the event."""
    gate = asyncio.Event()

    async def behave(call: Call) -> ModelInferResponse:
        await gate.wait()
        return await echo(call)

    return behave, gate
