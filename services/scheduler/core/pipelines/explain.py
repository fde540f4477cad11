"""Why a pipeline answers or does not: an answer for people, as plain data."""

from typing import Any

from services.scheduler.core.decisions import Core
from services.scheduler.core.members.deployment import Assignment, Deployment, Phase
from services.scheduler.core.members.fleet import Fleet
from services.scheduler.core.members.summary import why
from services.scheduler.core.pipelines.readiness import unready_models
from services.scheduler.core.pipelines.state import Pipeline, PipelineVersion
from services.scheduler.core.pipelines.status import Status, engine_status, gateway_status
from services.scheduler.core.routing import NO_GATEWAY
from services.scheduler.core.times import iso
from shared import timing
from shared.errors import NotFound

_READY = "PipelineReady"
_LEAVING = frozenset({Phase.STOPPING, Phase.STOP_FAILED})


def explain_pipeline(core: Core, name: str) -> dict[str, Any]:
    """Who runs it, what it waits for and when something is tried again. Raises NotFound for an unknown name."""
    pipelines = core.pipelines.pipelines
    pipeline = pipelines.by_name.get(name)
    if pipeline is None:
        raise NotFound(f"pipeline {name!r} not found: no pipeline of this name was loaded")
    latest = pipeline.latest
    engine, gateway = engine_status(pipelines, pipeline, latest), gateway_status(pipelines, pipeline, latest)
    unready = dict(unready_models(latest.definition, core.models.state, core.model_gateways))
    waits = _waits_for(pipeline, engine, gateway, unready)
    return {
        "pipeline": name,
        "version": latest.number,
        "uid": latest.definition.uid,
        "status": engine.state,
        "reason": engine.reason,
        "gateway_status": gateway.state,
        "gateway_reason": gateway.reason,
        "models_ready": not unready,
        "summary": _summary(pipeline, waits),
        "waits_for": waits,
        "models": [
            {"model": step.name, "ready": step.name not in unready, "reason": unready.get(step.name, "")}
            for step in latest.definition.steps
        ],
        "route": {
            "name": pipeline.scope,
            "gateways": [f"{host}:{http_port}" for host, http_port, _ in pipeline.published.gateways],
            "acked": pipeline.acked,
            "error": pipeline.route_error or None,
            "offered_again": iso(pipeline.route_due) if pipeline.route_due is not None else None,
        },
        "engines": _fleet(pipelines.engines, name),
        "gateways": {
            **_fleet(pipelines.gateways, pipelines.gateway_key(name)),
            "members": _members(pipeline.gateway),
        },
        "versions": [
            {
                "version": version.number,
                "uid": version.definition.uid,
                "status": engine_status(pipelines, pipeline, version).state,
                "reason": engine_status(pipelines, pipeline, version).reason,
                "members": _members(version.engine),
            }
            for version in reversed(list(pipeline.ordered()))
        ],
    }


def _waits_for(pipeline: Pipeline, engine: Status, gateway: Status, unready: dict[str, str]) -> list[str]:
    if pipeline.deleted:
        return [
            f"{status.state}: {status.reason}" for status in (engine, gateway) if status.state != "PipelineTerminated"
        ]
    waits = [
        f"{who}: {status.reason or status.state}"
        for who, status in (("dataflow engines", engine), ("pipeline gateways", gateway))
        if status.state != _READY
    ]
    return [*waits, *(f"model {model} {reason}" for model, reason in unready.items())]


def _summary(pipeline: Pipeline, waits: list[str]) -> str:
    if pipeline.deleted:
        return f"{pipeline.name} was unloaded" + (f"; {'; '.join(waits)}." if waits else ".")
    number = pipeline.latest.number
    if not waits:
        return f"Version {number} answers."
    running = [version.number for version in pipeline.ordered() if version is not pipeline.latest and _runs(version)]
    still = f" Version {running[-1]} goes on answering meanwhile." if running and pipeline.taken != NO_GATEWAY else ""
    return f"Version {number} waits for {'; '.join(waits)}.{still}"


def _runs(version: PipelineVersion) -> bool:
    return not version.superseded and any(
        assignment.phase is Phase.READY for assignment in version.engine.assignments.values()
    )


def _fleet(fleet: Fleet, key: str) -> dict[str, Any]:
    return {
        "connected": sorted(fleet.members),
        "awaited": sorted(fleet.awaited),
        "owners": list(fleet.owners(key)),
        "passed_over": fleet.passed_over(key),
    }


def _members(deployment: Deployment) -> list[dict[str, Any]]:
    return [_member(name, assignment) for name, assignment in sorted(deployment.assignments.items())]


def _member(name: str, assignment: Assignment) -> dict[str, Any]:
    last = timing.LET_GO_PATIENCE if assignment.phase in _LEAVING else timing.MEMBER_PATIENCE
    waits = assignment.phase in _LEAVING or assignment.phase is Phase.STARTING
    return {
        "member": name,
        "state": assignment.phase.value,
        "since": iso(assignment.since),
        "shares_with": [owner for owner in assignment.owners if owner != name],
        "reason": why(assignment) if assignment.attempts else assignment.reason,
        "failed_attempts": assignment.attempts,
        "told_without_answer": assignment.told,
        "waited_for_until": iso(assignment.since + last) if waits else None,
        "told_again": iso(assignment.due) if assignment.due is not None else None,
    }
