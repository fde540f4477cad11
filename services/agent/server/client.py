"""The inference server beside the agent, over its gRPC port: repository calls, liveness and coming back to life."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from mlops.v2_dataplane import v2_dataplane_pb2, v2_dataplane_pb2_grpc

from services.agent.server.answers import cause, index_state, is_passing
from shared.backoff import Attempts
from shared.errors import DeadlineExceeded, SeldonError, Unavailable
from shared.rpc import channel, foreign_client_options, unlimited
from shared.rpc_tracing import client_span
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import OFF, Tracer

SERVICE = v2_dataplane_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_CONTROL_SECONDS = 60.0
_LIVE_SECONDS = 2.0


class ServerRejected(SeldonError):
    """The server answered that it cannot do it; the sentence is its own."""


class InferenceServer:
    """One server, called `kind` (`mlserver` or `triton`) in messages. All calls raise Unavailable for failures that may
    pass, ServerRejected for those that will not and DeadlineExceeded when time is up."""

    def __init__(self, kind: str, host: str, grpc_port: int, tracer: Tracer = OFF) -> None:
        self._tracer = tracer
        self.kind = kind
        self.target = f"{host}:{grpc_port}"
        # One connection each, so that large inference messages do not hold up control calls.
        self._control = channel(self.target, foreign_client_options())
        self.inference = channel(self.target, unlimited(foreign_client_options()))
        self._stub: Any = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(self._control)

    async def close(self) -> None:
        await self._control.close(None)
        await self.inference.close(None)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to it now; costs nothing to ask."""
        return self._control.get_state() is grpc.ChannelConnectivity.READY

    async def live(self) -> bool:
        """Whether the server answers at all; models do not matter for it."""
        try:
            answer = await self._stub.ServerLive(v2_dataplane_pb2.ServerLiveRequest(), timeout=_LIVE_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.live)

    async def wait_live(self, deadline: float) -> None:
        """Return as soon as the server answers. Raises Unavailable after `deadline` seconds."""
        try:
            async with asyncio.timeout(deadline):
                while not await self.live():
                    state = self._control.get_state(try_to_connect=True)
                    if state is grpc.ChannelConnectivity.READY:
                        # It accepts connections and does not answer yet; nothing else tells when it will.
                        await asyncio.sleep(0.1)
                    else:
                        await self._control.wait_for_state_change(state)
        except TimeoutError:
            raise Unavailable(f"{self.kind} at {self.target} does not answer, waited {deadline:.0f} s") from None

    async def lifetimes(self) -> AsyncIterator[bool]:
        """For ever: True each time a connection to a live server exists anew, False each time it is lost."""
        while True:
            state = self._control.get_state(try_to_connect=True)
            if state is not grpc.ChannelConnectivity.READY:
                await self._control.wait_for_state_change(state)
                continue
            if not await self.live():
                await asyncio.sleep(0.1)
                continue
            yield True
            # Whatever it changes to, the connection is gone: a new one may be with a restarted server.
            await self._control.wait_for_state_change(grpc.ChannelConnectivity.READY)
            yield False

    async def load(self, internal: str, deadline: float, under: Span = NO_SPAN) -> None:
        """Load a model from the repository folder; one already loaded is loaded again.

        Raises DeadlineExceeded after `deadline` seconds; the server may go on with it nevertheless.
        """
        request = v2_dataplane_pb2.RepositoryModelLoadRequest(model_name=internal)
        with self._span("RepositoryModelLoad", under) as span:
            await self._call(self._stub.RepositoryModelLoad, request, deadline, f"load {internal}", span)

    async def unload(self, internal: str, deadline: float | None, under: Span = NO_SPAN) -> None:
        """Unload a model; one that is not loaded is fine. Raises DeadlineExceeded after `deadline` seconds, if any."""
        request = v2_dataplane_pb2.RepositoryModelUnloadRequest(model_name=internal)
        with self._span("RepositoryModelUnload", under) as span:
            try:
                await self._stub.RepositoryModelUnload(request, timeout=deadline, metadata=span.headers())
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise self._meaning(error, f"unload {internal}", deadline) from None

    def _span(self, method: str, under: Span) -> Span:
        return client_span(self._tracer, f"{SERVICE}/{method}", under)

    async def index(self) -> dict[str, str]:
        """State by internal name of every model the server knows of."""
        request = v2_dataplane_pb2.RepositoryIndexRequest()
        answer = await self._call(self._stub.RepositoryIndex, request, _CONTROL_SECONDS, "list its models")
        return {model.name: index_state(model.state) for model in answer.models}

    async def wait_not_loading(self, internal: str) -> None:
        """Return when the server is not, or no more, in the middle of loading the model.

        It tells nobody when that ends, so it is asked. A Triton that is told to load or unload a model meanwhile keeps
        the call waiting, and may crash when several of those go on at once.
        """
        async for _ in Attempts(0.1, 5.0):
            if (await self.index()).get(internal) != "LOADING":
                return

    async def _call(self, method: Any, request: Any, deadline: float, purpose: str, span: Span = NO_SPAN) -> Any:
        try:
            return await method(request, timeout=deadline, metadata=span.headers())
        except grpc.aio.AioRpcError as error:
            raise self._meaning(error, purpose, deadline) from None

    def _meaning(self, error: grpc.aio.AioRpcError, purpose: str, deadline: float | None) -> SeldonError:
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and deadline is not None:
            return DeadlineExceeded(f"{self.kind} did not {purpose} within {deadline:.0f} s")
        said = cause(error.details() or error.code().name)
        if self.kind == "mlserver" and error.code() is grpc.StatusCode.NOT_FOUND:
            said = f"{said} (it passes over a model-settings.json that it cannot read, and says why in its own log)"
        kind = Unavailable if is_passing(error.code().name) else ServerRejected
        return kind(f"{self.kind} could not {purpose}: {said}")
