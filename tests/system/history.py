"""Many requests at once with one answer each, and the history of what became of them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.system.deployment import Deployment

TYPED_ERRORS = frozenset({503, 504})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; times in seconds on the monotonic clock. `status` is 0 when the connection broke."""

    number: int
    began: float
    ended: float
    status: int
    body: dict[str, Any]


@dataclass(slots=True)
class History:
    """Requests number 0 to `total` - 1; each carries its own number, so that an answer of another one shows."""

    deployment: Deployment
    pipeline: str
    total: int
    deadline_ms: int
    entries: list[Entry] = field(default_factory=list)
    _awaited: list[tuple[int, asyncio.Event]] = field(default_factory=list)

    async def run(self, callers: int) -> None:
        """Ask with this many callers at a time until every request has ended."""
        numbers = iter(range(self.total))
        connector = aiohttp.TCPConnector(limit=callers)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
            for _ in range(callers):
                tasks.create_task(self._caller(session, numbers))

    async def _caller(self, session: aiohttp.ClientSession, numbers: Any) -> None:
        for number in numbers:
            self.entries.append(await self._ask(session, number))
            for count, reached in self._awaited:
                if len(self.entries) >= count:
                    reached.set()

    async def _ask(self, session: aiohttp.ClientSession, number: int) -> Entry:
        began = time.monotonic()
        values = [number + offset for offset in range(16)]
        inputs = [{"name": n, "datatype": "INT32", "shape": [1, 16], "data": values} for n in ("INPUT0", "INPUT1")]
        headers = {"seldon-model": f"{self.pipeline}.pipeline", "x-seldon-timeout-ms": str(self.deadline_ms)}
        url = f"{self.deployment.data_url}/v2/models/{self.pipeline}/infer"
        try:
            async with session.post(url, json={"inputs": inputs}, headers=headers) as answer:
                return Entry(number, began, time.monotonic(), answer.status, await answer.json())
        except aiohttp.ClientError as error:
            return Entry(number, began, time.monotonic(), 0, {"error": repr(error)})

    async def wait_for(self, count: int) -> None:
        """Return when this many requests have ended."""
        reached = asyncio.Event()
        self._awaited.append((count, reached))
        await reached.wait()

    def check(self, expected: Callable[[int], dict[str, list[int]]]) -> list[Entry]:
        """Every request ended once, in time, with its own result or a typed error; gives those with an error."""
        assert sorted(entry.number for entry in self.entries) == list(range(self.total))
        refused = []
        for entry in self.entries:
            assert entry.ended - entry.began < self.deadline_ms / 1000 + 1, entry
            if entry.status == 200:
                got = {output["name"]: output["data"] for output in entry.body["outputs"]}
                assert got == expected(entry.number), entry
            else:
                assert entry.status in TYPED_ERRORS, entry
                assert entry.body["error"], entry
                refused.append(entry)
        return refused
