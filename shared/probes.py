"""Live, ready and startup endpoints that say what is missing, metrics and log levels."""

from collections.abc import Iterable
from typing import Final

import orjson
import prometheus_client
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from shared.errors import InvalidInput, PayloadTooLarge, SeldonError
from shared.logs import LEVELS, logger
from shared.version import VERSION

_LARGEST_CHANGE: Final = 64 * 1024
_log = logger("probes")


class Readiness:
    """What a service still waits for. Ready when that is nothing.

    Parts are named once, at construction, so that a part nobody reported on counts as missing.
    """

    def __init__(self, parts: Iterable[str]) -> None:
        self._waiting: dict[str, str] = dict.fromkeys(parts, "not started")
        self._started = False

    def satisfied(self, part: str) -> None:
        self._waiting.pop(part, None)
        self._started = self._started or not self._waiting

    def waiting(self, part: str, reason: str) -> None:
        self._waiting[part] = reason

    def report(self, part: str, missing: str) -> None:
        """What the part still waits for, or nothing."""
        if missing:
            self.waiting(part, missing)
        else:
            self.satisfied(part)

    @property
    def waiting_for(self) -> dict[str, str]:
        """Part to reason; empty when ready."""
        return dict(self._waiting)

    @property
    def ready(self) -> bool:
        return not self._waiting

    @property
    def started(self) -> bool:
        """Was ready once."""
        return self._started


def probe_app(service: str, readiness: Readiness) -> FastAPI:
    """`/live`, `/ready`, `/startup` (200 or 503 with the missing parts), `/metrics`, and `/logging` for levels."""
    app = FastAPI(title=service, docs_url=None, redoc_url=None)

    def answer(healthy: bool) -> JSONResponse:
        body = {"service": service, "version": VERSION, "ready": readiness.ready, "waiting_for": readiness.waiting_for}
        return JSONResponse(body, status_code=200 if healthy else 503)

    @app.get("/live")
    async def live() -> JSONResponse:
        return answer(healthy=True)

    @app.get("/ready")
    async def ready() -> JSONResponse:
        return answer(readiness.ready)

    @app.get("/startup")
    async def startup() -> JSONResponse:
        return answer(readiness.started)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_PLAIN_0_0_4)

    @app.get("/logging")
    async def log_levels() -> JSONResponse:
        return JSONResponse({"service": service, **LEVELS.in_force()})

    @app.put("/logging")
    async def change_log_levels(request: Request) -> JSONResponse:
        try:
            LEVELS.change(await _content(request))
        except SeldonError as error:
            return JSONResponse({"error": str(error)}, status_code=error.http_status)
        now = LEVELS.in_force()
        _log.warning("log levels changed", process=now["level"], set=now["set"])
        return JSONResponse({"service": service, **now})

    return app


async def _content(request: Request) -> object:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_CHANGE:
            raise PayloadTooLarge(f"log levels may have {_LARGEST_CHANGE} bytes")
    try:
        return orjson.loads(body)
    except ValueError as error:
        raise InvalidInput(f"invalid body: write a JSON object ({error})") from None
