"""Why a model is where it is, or why it is nowhere: an answer for people, as plain data."""

from typing import Any

from services.scheduler.core.models.control import Control
from services.scheduler.core.models.definition import need_of
from services.scheduler.core.models.lifecycle import ModelState, version_status
from services.scheduler.core.models.placement import Placement, ServerVerdict, place
from services.scheduler.core.models.reconcile import offers
from services.scheduler.core.models.status import reason_with_retry
from services.scheduler.core.models.waiting import Wait, copy_waits, orphan_waits, route_waits
from services.scheduler.core.state import Model, Version
from services.scheduler.core.times import iso
from shared.errors import NotFound


def explain_model(control: Control, name: str) -> dict[str, Any]:
    """Everything that `seldon explain model` shows. Raises NotFound for an unknown name."""
    state = control.state
    model = state.models.get(name)
    if model is None:
        raise NotFound(f"model {name!r} not found: no model of this name was loaded")
    latest = model.latest
    summary = version_status(model, latest)
    reason = reason_with_retry(summary.reason, latest, summary.state)
    placement = place(need_of(latest), offers(state, latest))
    routed = model.published.routed
    return {
        "model": name,
        "version": latest.number,
        "state": summary.state.value,
        "reason": reason,
        "next_retry": _iso(latest.retry.due),
        "summary": _summary(model, latest, summary.state, reason),
        "routed_version": routed,
        "route": {
            "name": name,
            "acked": model.acked,
            "error": model.route_error or None,
            "waits": _waits(route_waits(model)),
        },
        "versions": [
            _version(control, model, model.versions[number]) for number in sorted(model.versions, reverse=True)
        ],
        "unwanted": [
            {
                "version": number,
                "server": where.server,
                "replica": where.replica,
                "reason": orphan.reason,
                "since": _iso(orphan.since),
                "waits": _waits(orphan_waits(control, where, orphan, model)),
            }
            for (where, number), orphan in sorted(model.orphans.items())
        ],
        "servers": [_server(verdict, latest, placement) for verdict in placement.verdicts],
    }


def _summary(model: Model, latest: Version, state: ModelState, reason: str) -> str:
    if model.deleted:
        return f"{model.name} was unloaded."
    routed = model.published.routed
    if state is ModelState.AVAILABLE:
        copies = "copy" if latest.needed_replicas == 1 else "copies"
        return f"Version {latest.number} answers from {latest.needed_replicas} {copies} on server {latest.server}."
    still = f" Version {routed} goes on answering meanwhile." if routed not in (None, latest.number) else ""
    because = f": {reason}." if reason else "."
    return f"Version {latest.number} is in state {state.value}{because}{still}"


def _waits(wait: Wait | None) -> dict[str, Any] | None:
    return {"owner": wait.owner, "reason": wait.reason, "due": _iso(wait.due)} if wait is not None else None


def _version(control: Control, model: Model, version: Version) -> dict[str, Any]:
    return {
        "version": version.number,
        "state": version_status(model, version).state.value,
        "server": version.server,
        "replicas": [
            {
                "replica": index,
                "state": status.state.value,
                "reason": status.reason,
                "since": _iso(status.since),
                "waits": _waits(copy_waits(control, model, version, index)),
            }
            for index, status in sorted(version.replicas.items())
        ],
    }


def _server(verdict: ServerVerdict, version: Version, placement: Placement) -> dict[str, Any]:
    chosen = placement.server == verdict.name
    refusal = verdict.refusal or ("" if chosen else "suitable, another one was preferred")
    return {
        "server": verdict.name,
        "accepted": chosen,
        "current": version.server == verdict.name,
        "reason": refusal,
        "replicas": [
            {"replica": replica.index, "accepted": not replica.refusal, "reason": replica.refusal}
            for replica in verdict.replicas
        ],
    }


def _iso(seconds: float | None) -> str | None:
    return iso(seconds) if seconds is not None else None
