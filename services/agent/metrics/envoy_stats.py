"""Envoy's statistics over HTTP: asked for when somebody asks this agent for its metrics."""

import asyncio

import aiohttp

from services.agent.core.envoy_counts import names_filter, snapshot
from services.agent.core.inference_counts import Counts, LastingCounts
from shared.logs import logger

_log = logger("envoy-stats")
_SECONDS = 2.0


class EnvoyStats:
    """The counts of one replica in one Envoy, kept over its restarts. `base_url` is that of its control port."""

    def __init__(self, base_url: str, server: str, replica_index: int) -> None:
        self._url = f"{base_url}/stats/prometheus"
        self._server, self._replica = server, str(replica_index)
        self._lasting = LastingCounts()
        # Answers have to be looked at in the order in which they were made.
        self._lock = asyncio.Lock()
        self._up: bool | None = None
        self._client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS))

    async def close(self) -> None:
        await self._client.close()

    async def counts(self) -> tuple[Counts, bool]:
        """All calls that Envoy has counted in this agent's life, and whether it answered just now."""
        async with self._lock:
            try:
                text = await self._ask()
                # Thousands of models are tens of thousands of lines: not on the loop that carries requests.
                found = await asyncio.to_thread(snapshot, text, self._server, self._replica)
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                self._note(up=False, reason=repr(error))
            else:
                self._note(up=True, reason="")
                self._lasting.observe(found.uptime, found.counts)
            return self._lasting.totals(), bool(self._up)

    async def _ask(self) -> str:
        query = {"usedonly": "", "filter": names_filter(self._server, self._replica)}
        async with self._client.get(self._url, params=query, raise_for_status=True) as answer:
            return await answer.text()

    def _note(self, *, up: bool, reason: str) -> None:
        if up is not self._up:
            _log.info("Envoy's counts are here") if up else _log.warning("no counts from Envoy", reason=reason)
        self._up = up
