"""Live, ready and startup endpoints that say what is missing, metrics and log levels, on one small HTTP server."""

import asyncio
from collections.abc import Iterable
from typing import Final

import orjson
import prometheus_client
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from shared.errors import InvalidInput, PayloadTooLarge, SeldonError
from shared.logs import LEVELS, logger
from shared.ports import listening

VERSION = "0.1.0"
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


class HttpServer:
    """An ASGI app on a port, as an async context manager inside a service's own event loop.

    At its end it takes no more connections and gives answers under way `grace_seconds`; idle connections of callers
    are kept for `idle_seconds`. Entering it raises Unavailable when the port is taken.
    """

    def __init__(self, app: object, host: str, port: int, grace_seconds: int = 1, idle_seconds: int = 5) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=grace_seconds,
            timeout_keep_alive=idle_seconds,
            # Proxied answers bring their own, and nothing here looks at forwarded addresses.
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._server = uvicorn.Server(config)
        # The service owns the process's signals; uvicorn would otherwise take them over.
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HttpServer":
        # The library's own way to take a port would end the process where it cannot.
        taken = listening(self._host, self._port)
        self._task = asyncio.create_task(self._server._serve([taken]), name="http-server")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError(f"nothing listens on {self._host}:{self._port}")
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
