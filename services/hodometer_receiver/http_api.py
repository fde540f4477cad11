"""The receiver's HTTP port: `/track` takes events, `/events` shows them, beside the probes."""

from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

from services.hodometer_receiver.core.events import event_of
from services.hodometer_receiver.core.record import Record
from shared.errors import PayloadTooLarge, SeldonError
from shared.logs import logger
from shared.probes import Readiness, probe_app

LARGEST_EVENT: Final = 64 * 1024
"""Bytes of an event on the wire; with the limit on their number this bounds the memory."""
_ANY_METHOD: Final = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_log = logger("receiver")


def http_app(record: Record, readiness: Readiness) -> FastAPI:
    app = probe_app("hodometer-receiver", readiness)

    @app.api_route("/track", methods=_ANY_METHOD)
    async def track(request: Request) -> Response:
        try:
            event = await _event_of(request)
        except SeldonError as error:
            _log.warning("event refused", reason=str(error))
            return PlainTextResponse(str(error), status_code=error.http_status)
        record.add(event)
        _log.info("event received", dropped=record.dropped)
        if request.query_params.get("verbose", "").startswith("1"):
            return Response(b'{"status":1,"error":""}', media_type="application/json")
        return Response()

    @app.get("/events")
    async def events() -> Response:
        headers = {"X-Events-Dropped": str(record.dropped)}
        return Response(record.json(), media_type="application/json", headers=headers)

    return app


async def _event_of(request: Request) -> bytes:
    """Raises InvalidInput, or PayloadTooLarge."""
    data = request.query_params.get("data", "")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_EVENT:
            break
    if len(body) > LARGEST_EVENT or len(data) > LARGEST_EVENT:
        raise PayloadTooLarge(f"an event may have {LARGEST_EVENT} bytes")
    return event_of(data, request.headers.get("content-type", ""), body)
