"""An inference server and an agent's proxy that echo what reached them, and fail when a request asks for it.

`python -m tests.peers.inference WHO HTTP_PORT GRPC_PORT` is one in a process of its own, which can be killed.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from aiohttp import web
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from shared.names import HEADER_FINAL
from shared.rpc import unlimited

FAIL_SERVER, FAIL_BOTH = "x-fail-server", "x-fail-both"
"""Request headers: a status (REST) or code name (gRPC) to answer with, by the server alone or by the agent too."""


@dataclass(frozen=True)
class Upstream:
    """`who` is `server` or `agent` and comes back in every answer."""

    who: str
    http_port: int
    grpc_port: int


@contextlib.asynccontextmanager
async def upstream(who: str, http_port: int = 0, grpc_port: int = 0) -> AsyncIterator[Upstream]:
    runner = web.AppRunner(_rest(who))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", http_port)
    await site.start()
    http_port = runner.addresses[0][1]
    server = grpc.aio.server(options=unlimited(()))
    v2_dataplane_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(_Echo(who), server)  # type: ignore[abstract]
    grpc_port = server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    try:
        yield Upstream(who, http_port, grpc_port)
    finally:
        await server.stop(None)
        await runner.cleanup()


def _failure(who: str, headers: Any) -> str | None:
    for name in (FAIL_SERVER, FAIL_BOTH) if who == "server" else (FAIL_BOTH,):
        if name in headers:
            return str(headers[name])
    return None


def _rest(who: str) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        length = 0
        async for chunk in request.content.iter_any():
            length += len(chunk)
        body = {"who": who, "path": request.path_qs, "bytes": length, "headers": dict(request.headers)}
        status = int(_failure(who, request.headers) or 200)
        # As the agent does with what it answers itself.
        last_word = {HEADER_FINAL: "yes"} if who == "agent" and status in (400, 404) else {}
        return web.json_response(body, status=status, headers=last_word)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    return application


class _Echo(v2_dataplane_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, who: str) -> None:
        self._who = who

    async def _answer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:
        failure = _failure(self._who, dict(context.invocation_metadata()))
        if failure is not None:
            last_word = ((HEADER_FINAL, "yes"),) if self._who == "agent" else ()
            await context.abort(grpc.StatusCode[failure], f"{self._who} was asked to fail", last_word)
        size = sum(len(part) for part in request.raw_input_contents)
        answer = oip.ModelInferResponse(
            model_name=request.model_name, model_version=request.model_version, id=f"{request.id}|{size}|{self._who}"
        )
        answer.raw_output_contents.extend(request.raw_input_contents[:1] if size < 1000 else [])
        return answer

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Any) -> oip.ModelInferResponse:
        return await self._answer(request, context)

    async def ModelStreamInfer(self, request_iterator: Any, context: Any) -> AsyncIterator[oip.ModelInferResponse]:
        async for request in request_iterator:
            yield await self._answer(request, context)

    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Any) -> oip.ModelMetadataResponse:
        return oip.ModelMetadataResponse(name=request.name, versions=[request.version], platform=self._who)

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Any) -> oip.ModelReadyResponse:
        return oip.ModelReadyResponse(ready=request.name.endswith("_1"))

    async def RepositoryIndex(self, request: oip.RepositoryIndexRequest, context: Any) -> oip.RepositoryIndexResponse:
        return oip.RepositoryIndexResponse()

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Any) -> oip.ServerLiveResponse:
        return oip.ServerLiveResponse(live=True)


async def _serve(who: str, http_port: str, grpc_port: str) -> None:
    async with upstream(who, int(http_port), int(grpc_port)):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
