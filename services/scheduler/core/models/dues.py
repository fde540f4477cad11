"""When something is to be done about a model although nothing happens."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from services.scheduler.core.models.copies import has_left
from services.scheduler.core.models.silence import waited_for_until
from services.scheduler.core.routing import NO_ROUTE
from services.scheduler.core.state import Model, ReplicaKey, ReplicaState, State, Version
from shared import timing

_LOOK_AGAIN: Final = 3_600.0
"""Seconds until a deleted model that has not gone in its time is looked at again."""
_TOLD: Final = frozenset({ReplicaState.LOADING, ReplicaState.UNLOADING})


def next_due(state: State, model: Model, now: float) -> float | None:
    """The earliest time after now; seconds since the epoch."""
    dues = [due for due in _dues(state, model) if due > now]
    if model.deleted_at is not None and model.deleted_at + timing.DELETED_KEPT <= now:
        dues.append(now + _LOOK_AGAIN)
    return min(dues, default=None)


def is_due(state: State, model: Model, now: float) -> bool:
    return any(due <= now for due in _dues(state, model))


def is_over(model: Model, now: float) -> bool:
    """Whether a deleted model has been remembered for long enough, and nothing is left of it."""
    if model.deleted_at is None or now < model.deleted_at + timing.DELETED_KEPT:
        return False
    left = all(has_left(version) for version in model.versions.values())
    return left and model.published == NO_ROUTE and not model.gateway.assignments and not model.orphans


def hurry(model: Model, now: float) -> None:
    """Somebody asks again: whatever an agent has not answered is due at once."""
    for version in model.versions.values():
        for index, status in version.replicas.items():
            if status.state in _TOLD:
                version.replicas[index] = replace(status, due=now)
    for orphan in model.orphans.values():
        orphan.due = now if orphan.due is not None else None


def _dues(state: State, model: Model) -> Iterator[float]:
    if model.deleted_at is not None:
        yield model.deleted_at + timing.DELETED_KEPT
    if model.route_due is not None:
        yield model.route_due
    for orphan in model.orphans.values():
        if orphan.due is not None:
            yield orphan.due
    for version in model.versions.values():
        if version.retry.due is not None:
            yield version.retry.due
        yield from _of_copies(state, version)


def _of_copies(state: State, version: Version) -> Iterator[float]:
    for index, status in version.replicas.items():
        if status.due is None:
            continue
        yield status.due
        replica = state.replica(ReplicaKey(version.server or "", index))
        if replica is not None:
            yield waited_for_until(status, replica)
