"""The scheduler's HTTP port: probes, metrics, and answers to why."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services.scheduler.core.models.explain import explain_model
from services.scheduler.core.pipelines.explain import explain_pipeline
from services.scheduler.engine import Engine
from shared.errors import SeldonError
from shared.probes import Readiness, probe_app


def http_app(engine: Engine, readiness: Readiness) -> FastAPI:
    app = probe_app("scheduler", readiness)

    @app.get("/explain/models/{name}")
    async def model(name: str) -> JSONResponse:
        return _answer(lambda: _with_envoys(engine, explain_model(engine.control, name)))

    @app.get("/explain/pipelines/{name}")
    async def pipeline(name: str) -> JSONResponse:
        return _answer(lambda: explain_pipeline(engine.core, name))

    @app.get("/explain/envoys")
    async def envoys() -> JSONResponse:
        return JSONResponse({"behind": engine.envoys_behind()})

    return app


def _with_envoys(engine: Engine, explained: dict[str, Any]) -> dict[str, Any]:
    """The same, with whom a route waits for that is not acknowledged yet."""
    if not explained["route"]["acked"]:
        explained["route"]["waits_for"] = engine.envoys_behind()
    return explained


def _answer(explain: Callable[[], dict[str, Any]]) -> JSONResponse:
    try:
        return JSONResponse(explain())
    except SeldonError as error:
        return JSONResponse({"error": str(error)}, status_code=error.code.http_status)
