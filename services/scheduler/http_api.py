"""The scheduler's HTTP port: probes, metrics, and answers to why."""

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from services.scheduler.engine import Engine
from services.scheduler.explain import explain_model
from shared.errors import SeldonError
from shared.probes import Readiness, probe_app


def http_app(engine: Engine, readiness: Readiness) -> FastAPI:
    app = probe_app("scheduler", readiness)

    @app.get("/explain/models/{name}")
    async def explain(name: str) -> JSONResponse:
        try:
            return JSONResponse(explain_model(engine.control.state, name))
        except SeldonError as error:
            return JSONResponse({"error": str(error)}, status_code=error.code.http_status)

    return app
