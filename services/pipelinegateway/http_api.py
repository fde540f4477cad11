"""The REST side: requests of the Open Inference Protocol for pipelines."""

import asyncio
from typing import Final

import orjson

from services.pipelinegateway import rest_codec
from services.pipelinegateway.calls import Call
from services.pipelinegateway.core.passed_headers import Header
from services.pipelinegateway.core.resources import Path, Verb, parse_path, resource_of
from services.pipelinegateway.exchange import CallerGone, Patience
from services.pipelinegateway.gateway import EXTENSIONS, NAME, Gateway, timeout_header
from services.pipelinegateway.http_body import decoded, header, header_length, read_body
from services.pipelinegateway.metrics import REST, GatewayMetrics
from services.pipelinegateway.spans import answered_http, serve_http
from shared.asgi import JSON, Headers, Receive, Scope, Send, error_body, respond
from shared.errors import NotFound, SeldonError
from shared.logs import logger
from shared.names import HEADER_REQUEST_ID
from shared.version import VERSION

_log = logger("rest")

_REQUEST_ID: Final = HEADER_REQUEST_ID.encode()
_ACCEPTED: Final = 202
_NOT_READY: Final = 424
_CALLER_GONE: Final = 499
_GETS: Final = ("GET", "HEAD")


class RestApi:
    """Raw ASGI app."""

    def __init__(self, gateway: Gateway, metrics: GatewayMetrics) -> None:
        self._gateway = gateway
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers: Headers = scope["headers"]
        received = [(name.decode("latin-1"), value) for name, value in headers]
        client_id = next((value for name, value in headers if name == _REQUEST_ID and value), None)
        call = self._gateway.arrive(received, client_id)
        tracer = self._gateway.tracer
        if tracer.on:
            call.span = serve_http(tracer, scope["method"], scope["path"], call, received)
        with call.span:
            if scope["method"] == "POST" and scope["path"].rstrip("/").endswith(Verb.INFER.value):
                await self._infer(scope, receive, send, call, received)
            else:
                await self._look(scope, send, call, received)

    async def _infer(self, scope: Scope, receive: Receive, send: Send, call: Call, received: list[Header]) -> None:
        status = _CALLER_GONE
        try:
            status, body, described = await self._inferred(scope, receive, call, received)
            own = [(name.encode(), value) for name, value in call.reply_headers]
            await respond(send, status, body, [*described, *own])
        except CallerGone:
            status = _CALLER_GONE
        finally:
            if call.span.recording:
                answered_http(call.span, status)
            self._metrics.inferred(call.resource, REST, str(status), call.seconds)

    async def _inferred(
        self, scope: Scope, receive: Receive, call: Call, received: list[Header]
    ) -> tuple[int, bytes, Headers]:
        """Status, body and the headers that describe it. Raises CallerGone and nothing else."""
        try:
            reply = await self._exchange(scope, receive, call, received)
            if reply is None:
                accepted = {"accepted": True, "id": call.request_id.decode(errors="replace"), "key": call.key.decode()}
                return _ACCEPTED, orjson.dumps(accepted), [(b"content-type", JSON)]
            return 200, reply.body, reply.headers
        except SeldonError as error:
            again = [] if error.retry_after is None else [(b"retry-after", str(error.retry_after).encode())]
            return error.http_status, error_body(str(error)), [(b"content-type", JSON), *again]
        except CallerGone:
            raise
        except Exception as error:
            _log.exception("request failed unexpectedly", path=scope["path"], **call.in_log)
            return 500, error_body(f"the request failed: {error!r}"), [(b"content-type", JSON)]

    async def _exchange(
        self, scope: Scope, receive: Receive, call: Call, received: list[Header]
    ) -> rest_codec.Reply | None:
        """None when the request was taken and nothing will answer."""
        headers: Headers = scope["headers"]
        resource = resource_of(received, parse_path(scope["path"]).resource)
        route = await self._gateway.route(call, resource)
        limit = self._gateway.message_max_bytes
        with self._gateway.admission.enter() as admitted:
            raw = await read_body(headers, receive, limit, admitted)
            patience = self._gateway.patience(timeout_header(received))
            body = await decoded(raw, header(headers, b"content-encoding"), limit)
            admitted.hold(len(body))
            beside = self._gateway.beside
            request = await beside.run(len(body), rest_codec.decode, body, header_length(headers))
            watch = asyncio.create_task(_tell_when_gone(receive, patience))
            try:
                answer = await self._gateway.infer(call, route, request.value, patience)
            finally:
                watch.cancel()
            if answer is None:
                return None
            wanted = request.outputs, request.binary, str(resource)
            return await beside.run(len(answer), rest_codec.encode, answer, *wanted)

    async def _look(self, scope: Scope, send: Send, call: Call, received: list[Header]) -> None:
        """Everything that is not an inference."""
        try:
            status, content = await self._seen(scope["method"], scope["path"], call, received)
            body = orjson.dumps(content)
        except SeldonError as error:
            status, body = error.http_status, error_body(str(error))
        except Exception as error:
            _log.exception("request failed unexpectedly", path=scope["path"], **call.in_log)
            status, body = 500, error_body(f"the request failed: {error!r}")
        if call.span.recording:
            answered_http(call.span, status)
        head: Headers = [(b"content-type", JSON), (_REQUEST_ID, call.request_id)]
        await respond(send, status, body if scope["method"] != "HEAD" else b"", head)

    async def _seen(self, method: str, path: str, call: Call, received: list[Header]) -> tuple[int, object]:
        if method not in _GETS:
            raise NotFound(f"nothing answers {method} {path}: inference is POST /v2/pipelines/NAME/infer")
        match path.rstrip("/"):
            case "/ready":
                return 200, {}
            case "/v2/health/live":
                return 200, {"live": True}
            case "/v2/health/ready":
                ready = not self._gateway.closed
                return (200, {"ready": True}) if ready else (503, {"ready": False, "error": self._gateway.closed})
            case "/v2":
                return 200, {"name": NAME, "version": VERSION, "extensions": EXTENSIONS}
        return await self._about(parse_path(path), call, received)

    async def _about(self, path: Path, call: Call, received: list[Header]) -> tuple[int, object]:
        resource = resource_of(received, path.resource)
        if path.verb is Verb.METADATA:
            return 200, await self._gateway.metadata(resource, call)
        if path.verb is Verb.INFER:
            raise NotFound("inference is a POST request")
        missing = await self._gateway.not_ready(resource, call)
        if missing:
            return _NOT_READY, {"error": f"{resource} is not ready: no answer from {', '.join(missing)}"}
        return 200, {"ready": True}


async def _tell_when_gone(receive: Receive, patience: Patience) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    patience.give_up()
