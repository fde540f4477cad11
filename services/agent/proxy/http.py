"""REST requests through the agent to its inference server: bodies as bytes, answers streamed."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from yarl import URL

from services.agent.core.holdings import Holdings
from services.agent.core.inference_counts import OwnCounts
from services.agent.core.proxy_names import Addressed, is_model_path, resolve, rewrite_path
from services.agent.proxy.cold_path import AskElsewhere, ColdPath, Miss
from services.agent.server.answers import rest_says_not_loaded
from services.agent.spans import MODEL, Request
from shared.asgi import Headers, Receive, Scope, Send, respond_error
from shared.errors import NotFound, SeldonError, Unavailable
from shared.logs import logger
from shared.names import HEADER_COUNTED, HEADER_ELSEWHERE, HEADER_FINAL, HEADER_REQUEST_ID
from shared.rpc import INFERENCE_MESSAGE_LIMIT
from shared.tracing.context import extract
from shared.tracing.log_fields import of_request
from shared.tracing.spans import NO_SPAN, Span
from shared.tracing.tracer import CLIENT, OFF, SERVER, Tracer

_log = logger("reverse-proxy-http")

_REQUEST_ID = HEADER_REQUEST_ID.encode()
_COUNTED = HEADER_COUNTED.encode()
_ELSEWHERE = HEADER_ELSEWHERE.encode()
_FINAL = HEADER_FINAL.encode()
_RETRIED = (400, 404)
"""Statuses that Envoy takes for those of a server that does not have the model."""
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
_NOT_FORWARDED = _HOP_BY_HOP | {b"host", b"content-length", b"expect", _REQUEST_ID, _COUNTED, _ELSEWHERE}
# What aiohttp would add of its own.
_NO_OWN_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")
_ERROR_BODY_LIMIT = 64 * 1024
_WHOLE_ANSWER_LIMIT = 1024 * 1024


class _BodyTooLarge(Exception):
    pass


class _CallerGone(Exception):
    pass


@dataclass(frozen=True)
class _Request:
    method: str
    url: URL
    headers: list[tuple[str, str]]
    body: bytes
    request_id: bytes
    span: Span


class ReverseProxyHttp:
    """Raw ASGI app. `base_url` is the inference server's, e.g. `http://127.0.0.1:8080`.

    `counts` gets the requests that did not come through Envoy, which counts its own. Whoever marks theirs as counted
    here could as well ask the inference server itself.
    """

    def __init__(
        self,
        base_url: str,
        holdings: Holdings,
        cold_path: ColdPath,
        counts: OwnCounts,
        body_limit: int = INFERENCE_MESSAGE_LIMIT,
        tracer: Tracer = OFF,
    ) -> None:
        self._base_url = base_url
        self._holdings = holdings
        self._cold_path = cold_path
        self._counts = counts
        self._body_limit = body_limit
        self._tracer = tracer
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            skip_auto_headers=_NO_OWN_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def close(self) -> None:
        await self._client.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = _request_id(scope["headers"])
        answer = _Answer(send, request_id, counted=any(name == _COUNTED for name, _ in scope["headers"]))
        started = time.perf_counter()
        span = self._begin(scope, request_id)
        try:
            await self._handle(scope, receive, answer, request_id, span)
        except _CallerGone:
            return
        except _BodyTooLarge:
            await answer.error(413, f"the body is larger than {self._body_limit} bytes")
        except AskElsewhere as error:
            await answer.error(error.code.http_status, str(error), [(_ELSEWHERE, b"yes")])
        except SeldonError as error:
            await answer.error(error.code.http_status, str(error))
        except aiohttp.ClientError as error:
            await answer.error(502, f"the inference server broke off its answer: {error!r}")
        except Exception as error:
            about = of_request([*scope["headers"], (_REQUEST_ID, request_id)])
            _log.exception("request failed unexpectedly", path=scope["path"], **about)
            await answer.error(500, f"the request failed: {error!r}")
        finally:
            _end(span, answer)
            if answer.status and not answer.counted:
                seconds = time.perf_counter() - started
                self._counts.rest(answer.internal, scope["method"], answer.status, seconds)

    def _begin(self, scope: Scope, request_id: bytes) -> Span:
        if not self._tracer.on:
            return NO_SPAN
        about = _about(request_id, scope["method"], scope["path"])
        return self._tracer.span("seldon-rproxy", extract(scope["headers"]), SERVER, attributes=about)

    async def _handle(self, scope: Scope, receive: Receive, answer: "_Answer", request_id: bytes, span: Span) -> None:
        path = _raw_path(scope)
        if path.startswith("/v2/repository"):
            raise NotFound("the model repository is not open to callers: load and unload models through the scheduler")
        named = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        addressed = Addressed.of(named)
        internal = resolve(addressed, self._holdings) if addressed and is_model_path(path) else None
        answer.internal = internal or ""
        request = _Request(
            method=scope["method"],
            url=URL(self._base_url + (rewrite_path(path, internal) if internal else path), encoded=True),
            headers=_forwarded(scope["headers"], request_id),
            body=await self._read_body(scope, receive),
            request_id=request_id,
            span=span,
        )
        # Only a caller that goes away can end this before its answer.
        forwarding = asyncio.current_task()
        elsewhere = any(header == _ELSEWHERE for header, _ in scope["headers"])
        watch = asyncio.create_task(_cancel_when_gone(receive, forwarding, answer))
        try:
            if internal is None:
                if await self._attempt(request, answer, None, final=True) is not None:
                    kind = AskElsewhere if elsewhere else Unavailable
                    raise kind(f"the inference server at {self._base_url} does not answer")
            else:
                name = internal
                await self._cold_path.forward(
                    name,
                    lambda final: self._attempt(request, answer, name, final),
                    Request.of(span, [*scope["headers"], (_REQUEST_ID, request_id)]),
                    elsewhere=elsewhere,
                )
        except asyncio.CancelledError:
            if watch.done() and forwarding is not None and forwarding.uncancel() == 0:
                raise _CallerGone from None
            raise
        finally:
            watch.cancel()

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._body_limit:
                raise _BodyTooLarge
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _CallerGone
            part = message.get("body", b"")
            size += len(part)
            if size > self._body_limit:
                raise _BodyTooLarge
            parts.append(part)
            if not message.get("more_body", False):
                return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _attempt(self, request: _Request, answer: "_Answer", internal: str | None, final: bool) -> Miss | None:
        about = _about(request.request_id, request.method, request.url.path)
        with self._tracer.below(request.span, f"HTTP {request.method}", CLIENT, attributes=about) as span:
            try:
                response = await self._client.request(
                    request.method,
                    request.url,
                    headers=_told(request.headers, span),
                    data=request.body or None,
                    allow_redirects=False,
                )
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError) as error:
                span.fail(f"no answer: {error!r}")
                return Miss.NO_SERVER
            async with response:
                _note_status(span, response.status)
                if not final and internal is not None and response.status in (400, 404):
                    body = await response.content.read(_ERROR_BODY_LIMIT)
                    if rest_says_not_loaded(response.status, body, internal):
                        return Miss.NOT_LOADED
                    await answer.stream(response, first=body)
                else:
                    await answer.stream(response)
        return None


async def _cancel_when_gone(receive: Receive, task: asyncio.Task[object] | None, answer: "_Answer") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if task is not None and not answer.complete:
        task.cancel()


class _Answer:
    """The caller's side of one request."""

    def __init__(self, send: Send, request_id: bytes, *, counted: bool = False) -> None:
        """`counted` requests come from Envoy, which is to pass on what it is answered here."""
        self._send = send
        self.counted = counted
        self._request_id = request_id
        self.internal = ""
        """Name of the model that answers, once it is known."""
        self.status = 0
        """Of the answer that has begun."""
        self.complete = False

    async def error(self, status: int, sentence: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """An error of the agent's own; one that comes after the answer began can only break the connection."""
        if self.status:
            raise ConnectionError(sentence)
        self.status, self.complete = status, True
        told = [(_REQUEST_ID, self._request_id), *headers, *self._last_word(status)]
        await respond_error(self._send, status, sentence, told)

    def _last_word(self, status: int) -> Headers:
        return [(_FINAL, b"yes")] if self.counted and status in _RETRIED else []

    async def stream(self, response: aiohttp.ClientResponse, first: bytes = b"") -> None:
        """Pass on an answer as it comes; `first` was read already. Short ones go out in one piece."""
        headers: Headers = [
            (name.lower(), value) for name, value in response.raw_headers if name.lower() not in _HOP_BY_HOP
        ]
        if not any(name == _REQUEST_ID for name, _ in headers):
            headers.append((_REQUEST_ID, self._request_id))
        headers += self._last_word(response.status)
        length = response.content_length
        whole = length is not None and length <= _WHOLE_ANSWER_LIMIT
        body = first + await response.read() if whole else first
        self.status = response.status
        await self._send({"type": "http.response.start", "status": response.status, "headers": headers})
        if not whole:
            if body:
                await self._send({"type": "http.response.body", "body": body, "more_body": True})
            async for chunk in response.content.iter_any():
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            body = b""
        self.complete = True
        await self._send({"type": "http.response.body", "body": body})


def _raw_path(scope: Scope) -> str:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string") or b""
    return (path + b"?" + query if query else path).decode("latin-1")


def _request_id(headers: Headers) -> bytes:
    given = next((value for name, value in headers if name == _REQUEST_ID and value), None)
    return given or uuid.uuid4().hex.encode()


def _forwarded(headers: Headers, request_id: bytes) -> list[tuple[str, str]]:
    passed = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name not in _NOT_FORWARDED
    ]
    return [*passed, (HEADER_REQUEST_ID, request_id.decode("latin-1"))]


def _told(headers: list[tuple[str, str]], span: Span) -> list[tuple[str, str]]:
    """The same with `span` as the parent of what follows, if there is a trace."""
    context = span.headers()
    names = [name for name, _ in context]
    return [*(header for header in headers if header[0] not in names), *context] if context else headers


def _about(request_id: bytes, method: str, path: str) -> dict[str, str]:
    return {HEADER_REQUEST_ID: request_id.decode("latin-1"), "http.request.method": method, "url.path": path}


def _note_status(span: Span, status: int) -> None:
    span.set("http.response.status_code", status)
    if status >= 500:
        span.fail(f"status {status}")


def _end(span: Span, answer: _Answer) -> None:
    if answer.internal:
        span.set(MODEL, answer.internal)
    if answer.status:
        _note_status(span, answer.status)
    else:
        span.fail("the caller went away")
    span.end()
