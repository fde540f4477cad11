"""The REST side of both protocols, the probes and the metrics: one raw ASGI app on one port."""

import asyncio
from typing import Final, TypeAlias

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, generate_latest

from services.v1gateway.core import doc, seldon_json
from services.v1gateway.core import tensorflow as tf
from services.v1gateway.core.paths import Action, Call, parse
from services.v1gateway.destinations import code_name
from services.v1gateway.gateway import Asked, Gateway, check_model, describe, describe_graph, passed
from shared.asgi import Receive, Scope, Send, respond
from shared.errors import Code, InvalidInput, NotFound, PayloadTooLarge, SeldonError
from shared.logs import logger
from shared.names import HEADER_REQUEST_ID, HEADER_ROUTE
from shared.probes import Readiness
from shared.version import VERSION

Headers: TypeAlias = list[tuple[str, str]]

PUID: Final = "seldon-puid"
JSON: Final = "application/json"
_log = logger("rest")


class RestApi:
    def __init__(self, gateway: Gateway, readiness: Readiness, max_body_bytes: int) -> None:
        self._gateway = gateway
        self._readiness = readiness
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        method, path = scope["method"], scope["path"]
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        call = parse(path)
        reply: Headers = []
        try:
            if call is None:
                raise NotFound(f"nothing answers {path}: see /api/v1.0/doc/")
            status, content_type, body = await self._answer(call, method, headers, receive, reply)
        except SeldonError as error:
            status, content_type = error.http_status, JSON
            body = _failure(call, status, error)
        except Exception as error:
            _log.exception("request failed unexpectedly", path=path)
            status, content_type = 500, JSON
            body = _failure(call, 500, SeldonError(f"the request failed: {error!r}"))
        described = [(name.encode(), value.encode("latin-1", "replace")) for name, value in reply]
        described.append((b"content-type", content_type.encode()))
        await respond(send, status, body if method != "HEAD" else b"", described)

    async def _answer(
        self, call: Call, method: str, headers: Headers, receive: Receive, reply: Headers
    ) -> tuple[int, str, bytes]:
        match call.action:
            case Action.LIVE:
                return 200, JSON, orjson.dumps({"live": True})
            case Action.READY:
                waiting = self._readiness.waiting_for
                return 503 if waiting else 200, JSON, orjson.dumps({"ready": not waiting, "waiting_for": waiting})
            case Action.PROMETHEUS:
                return 200, CONTENT_TYPE_PLAIN_0_0_4, await asyncio.to_thread(generate_latest, REGISTRY)
            case Action.DOC:
                return _doc(call.file)
        asked = Asked(call.action.service, method.lower(), False, passed(headers))
        puid = dict(headers).get(HEADER_REQUEST_ID)
        if puid:
            reply.append((PUID, puid))
        body = await self._gateway.counted(asked, self._called(call, method, headers, receive, asked))
        if asked.route:
            reply.append((HEADER_ROUTE, asked.route))
        return 200, JSON, body

    async def _called(self, call: Call, method: str, headers: Headers, receive: Receive, asked: Asked) -> bytes:
        if method not in (call.action.method, "HEAD" if call.action.method == "GET" else ""):
            raise MethodNotAllowed(f"{call.action.service} is a {call.action.method} request, not {method}")
        deployment = self._gateway.deployment(call.deployment, headers)
        self._gateway.known(deployment, asked)
        match call.action:
            case Action.PREDICTIONS:
                message = seldon_json.read(await self._body(headers, receive))
                return seldon_json.write(await self._gateway.predict(deployment, message, asked))
            case Action.FEEDBACK:
                told = seldon_json.feedback(await self._body(headers, receive))
                return seldon_json.write(await self._gateway.feedback(deployment, told, asked))
            case Action.TF_PREDICT:
                question = tf.read(await self._body(headers, receive))
                found = await self._gateway.about(deployment, asked)
                check_model(found, call.model, call.version)
                return tf.write(await self._gateway.ask_tensorflow(deployment, question, asked), question.by_row)
        found = await self._gateway.about(deployment, asked)
        check_model(found, call.model, call.version)
        version = asked.of[2]
        match call.action:
            case Action.TF_STATUS:
                return orjson.dumps(tf.status(version))
            case Action.TF_METADATA:
                return orjson.dumps(tf.metadata(call.model, version, found.about.inputs, found.about.outputs))
            case Action.STATUS:
                return orjson.dumps({"name": deployment, "model": describe(found)["name"], "state": "AVAILABLE"})
            case _:
                return orjson.dumps(describe(found) if call.model else describe_graph(found))

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        if dict(headers).get("content-encoding", "identity") != "identity":
            raise InvalidInput("invalid content-encoding: send the body as it is")
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerGone("the caller is gone")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise PayloadTooLarge(f"a body may have {self._max_body_bytes} bytes: V1_GATEWAY_MAX_BODY_BYTES")
            if not message.get("more_body", False):
                return b"".join(parts)


class MethodNotAllowed(SeldonError):
    code = Code.UNIMPLEMENTED

    @property
    def http_status(self) -> int:
        return 405


class CallerGone(SeldonError):
    @property
    def http_status(self) -> int:
        return 499


def _doc(file: str) -> tuple[int, str, bytes]:
    if file == doc.FILE:
        return 200, JSON, orjson.dumps(doc.openapi(VERSION))
    if file:
        raise NotFound(f"there is no {file}: see /api/v1.0/doc/")
    return 200, "text/html; charset=utf-8", doc.page().encode()


def _failure(call: Call | None, status: int, error: SeldonError) -> bytes:
    if call is not None and call.action.is_tensorflow:
        return tf.failure(str(error))
    return seldon_json.failure(status, code_name(error), str(error))
