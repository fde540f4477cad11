"""The REST proxy's manners as a proxy, in front of a plain HTTP server that shows what arrives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict

from services.agent.core.holdings import Holdings
from services.agent.core.inference_counts import OwnCounts
from services.agent.proxy.cold_path import ColdPath
from services.agent.proxy.http import ReverseProxyHttp
from shared.http_server import HttpServer
from tests.peers.ports import free_ports

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server with one handler and the proxy before it; gives the proxy's address."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(handler: Handler) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            behind, before = free_ports(2)
            await web.TCPSite(runner, "127.0.0.1", behind).start()
            # These requests name no model, so that the cold path is not asked.
            unused = cast(ColdPath, None)
            proxy = ReverseProxyHttp(f"http://127.0.0.1:{behind}", Holdings(0), unused, OwnCounts(), body_limit=1000)
            stack.push_async_callback(proxy.close)
            await stack.enter_async_context(HttpServer(proxy, "127.0.0.1", before))
            return f"http://127.0.0.1:{before}"

        yield start


async def test_requests_and_answers_pass_unchanged(serve: Serve) -> None:
    seen: dict[str, object] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(path=request.raw_path, body=await request.read(), headers=request.headers.copy())
        return web.Response(status=418, body=b"\x00\xff", headers={"X-Own": "kept", "Server": "behind"})

    url = await serve(handler)
    async with (
        aiohttp.ClientSession() as client,
        client.put(f"{url}/v2/a%2Fb?x=%20y", data=b"\x01\x02", headers={"X-Mine": "1", "X-Request-Id": "r"}) as answer,
    ):
        assert (answer.status, await answer.read()) == (418, b"\x00\xff")
        assert answer.headers.getall("Server") == ["behind"]
        assert (answer.headers["X-Own"], answer.headers["X-Request-Id"]) == ("kept", "r")
    assert (seen["path"], seen["body"]) == ("/v2/a%2Fb?x=%20y", b"\x01\x02")
    headers = cast("CIMultiDict[str]", seen["headers"])
    assert (headers["x-mine"], headers["x-request-id"]) == ("1", "r")


async def test_a_body_over_the_limit_is_refused(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        raise AssertionError("must not arrive")

    async def in_pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 400

    url = await serve(handler)
    async with aiohttp.ClientSession() as client:
        for body in (b"x" * 1001, in_pieces()):
            async with client.post(f"{url}/v2/x", data=body) as answer:
                assert answer.status == 413
                assert await answer.json() == {"error": "the body is larger than 1000 bytes"}
                assert answer.headers["X-Request-Id"]


async def test_an_answer_is_passed_on_as_it_comes_and_ends_with_its_caller(serve: Serve) -> None:
    ended = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        try:
            while True:
                await response.write(b".")
                await asyncio.sleep(0.01)
        finally:
            ended.set()
        return response

    url = await serve(handler)
    async with aiohttp.ClientSession() as client:
        answer = await client.get(f"{url}/v2/x")
        assert (await answer.content.readexactly(5)) == b"first"
        answer.close()
    await asyncio.wait_for(ended.wait(), 10)


async def test_a_caller_that_goes_away_before_the_answer_ends_the_request(serve: Serve) -> None:
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        arrived.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return web.Response()

    url = await serve(handler)
    async with aiohttp.ClientSession() as client:
        call = asyncio.create_task(client.get(f"{url}/v2/x"))
        await arrived.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 10)


async def test_no_server_behind_is_a_503(serve: Serve) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    url = await serve(handler)
    async with aiohttp.ClientSession() as client, client.get(f"{url}/v2/x") as answer:
        assert answer.status == 503
        assert "does not answer" in (await answer.json())["error"]
