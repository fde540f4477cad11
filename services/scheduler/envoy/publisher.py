"""Brings route plans to Envoy without a gap: make before break, and every step waits for Envoy's acknowledgement."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.scheduler.core.envoy.cache import Versioned, versioned
from services.scheduler.core.envoy.plans import resources
from services.scheduler.core.envoy.resources import SCOPE, ResourceKey
from services.scheduler.core.envoy.version1 import version1_resources
from services.scheduler.core.routing import Plan
from services.scheduler.envoy.server import XdsServer
from services.scheduler.metrics import ROUTE_BATCH_PLANS, ROUTE_PLANS_WAITING, ROUTE_UPDATE_SECONDS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one published revision; `error` is Envoy's own text, empty when it took it."""

    scope: str
    revision: int
    error: str


@dataclass(frozen=True, slots=True)
class _Pending:
    plan: Plan
    revision: int
    since: float


class Publisher:
    """Collects plans while a batch is on its way, so that a thousand changes cost a handful of round trips."""

    def __init__(self, server: XdsServer, report: Callable[[Outcome], None], retry_seconds: float) -> None:
        self._server = server
        self._retry_seconds = retry_seconds
        self._report = report
        self._pending: dict[str, _Pending] = {}
        self._owned: dict[str, frozenset[ResourceKey]] = {}
        """Keys in the cache by scope."""
        self._wake = asyncio.Event()

    def publish(self, scope: str, plan: Plan, revision: int) -> None:
        self._pending[scope] = _Pending(plan, revision, time.monotonic())
        ROUTE_PLANS_WAITING.set(len(self._pending))
        self._wake.set()

    async def run(self, released: asyncio.Event) -> None:
        """Publish for ever. Before `released`, nothing goes out: the plans known then form the first answer."""
        await released.wait()
        await self._publish_batch(self._take(), first=True)
        while True:
            await self._wake.wait()
            await self._publish_batch(self._take(), first=False)

    def _take(self) -> dict[str, _Pending]:
        batch, self._pending = self._pending, {}
        ROUTE_PLANS_WAITING.set(0)
        ROUTE_BATCH_PLANS.observe(len(batch))
        self._wake.clear()
        return batch

    async def _publish_batch(self, batch: dict[str, _Pending], *, first: bool) -> None:
        made = {scope: self._resources(scope, pending.plan) for scope, pending in batch.items()}
        changes: dict[ResourceKey, Versioned | None] = {}
        for entries in made.values():
            changes |= entries
        upstreams = {key: entry for key, entry in changes.items() if key.type_url != SCOPE and entry is not None}
        scopes = {key: entry for key, entry in changes.items() if key.type_url == SCOPE}
        withdrawn = {key: entry for key, entry in changes.items() if key.type_url != SCOPE and entry is None}

        if first:
            # An Envoy that ran on through our restart must see everything at once, or it would drop what is missing.
            self._server.apply(changes | {key: versioned(key, each) for key, each in version1_resources().items()})
            self._server.release()
            refusals = await self._server.settled(_versions(upstreams) | _versions(scopes))
        else:
            refusals = await self._stage(upstreams)
            # A scope of which a part was refused keeps its routes, and what they lead to.
            broken = {key for entries in made.values() if any(key in refusals for key in entries) for key in entries}
            refusals |= await self._stage({key: entry for key, entry in scopes.items() if key not in broken})
            self._server.apply({key: None for key in withdrawn if key not in broken})
        for scope, pending in batch.items():
            ROUTE_UPDATE_SECONDS.observe(time.monotonic() - pending.since)
            error = "; ".join(refusals[key] for key in made[scope] if key in refusals)
            # Also after a refusal: what was taken of a refused plan is withdrawn when it is not needed any more.
            self._owned[scope] = frozenset(key for key in made[scope] if self._server.get(key) is not None)
            self._report(Outcome(scope, pending.revision, error))

    def _resources(self, scope: str, plan: Plan) -> dict[ResourceKey, Versioned | None]:
        """The scope's resources as they should be, and None for those it no longer needs."""
        wanted: dict[ResourceKey, Versioned | None] = {
            key: versioned(key, message) for key, message in resources(scope, plan, self._retry_seconds).items()
        }
        return dict.fromkeys(self._owned.get(scope, frozenset()) - wanted.keys()) | wanted

    async def _stage(self, changes: Mapping[ResourceKey, Versioned | None]) -> dict[ResourceKey, str]:
        """Apply and wait. What Envoy refuses is put back as it was, so that no other Envoy is given it."""
        if not changes:
            return {}
        before = {key: self._server.get(key) for key in changes}
        self._server.apply(changes)
        refusals = await self._server.settled(_versions(changes))
        if refusals:
            self._server.apply({key: before[key] for key in refusals})
        return refusals


def _versions(changes: Mapping[ResourceKey, Versioned | None]) -> dict[ResourceKey, str | None]:
    return {key: entry.version if entry else None for key, entry in changes.items()}
