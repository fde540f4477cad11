"""Sending an event to every receiver at once; what one of them does is of no concern to the others."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from services.hodometer.core.event import query_of, text_of
from services.hodometer.core.retries import publish_again, publish_delays
from services.hodometer.settings import STDOUT
from shared.logs import logger

_log = logger("publishing")

_ATTEMPT_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 10.0
_LONGEST_ANSWER: Final = 64 * 1024
"""Bytes; an answer is a line of JSON."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """`status` None: no answer. `problem` empty: accepted."""

    status: int | None
    problem: str


class Publisher:
    """`wait` passes the seconds between attempts."""

    def __init__(self, destinations: Sequence[str], wait: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._destinations = destinations
        self._wait = wait

    async def publish(self, event: Mapping[str, Any]) -> None:
        """Return when every receiver has accepted the event or was given up. Raises nothing."""
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(_ATTEMPT_SECONDS, connect=_CONNECT_SECONDS),
            # Uncompressed, so that the limit on the answer holds for what it would unpack to as well.
            headers={"User-Agent": "hodometer", "Accept-Encoding": "identity"},
            follow_redirects=True,
        ) as client:
            await asyncio.gather(*(self._publish_to(url, client, event) for url in self._destinations))

    async def _publish_to(self, url: str, client: httpx.AsyncClient, event: Mapping[str, Any]) -> None:
        shown = _without_password(url)
        _log.info(f"publishing usage metrics to {shown}")
        try:
            if url == STDOUT:
                await asyncio.to_thread(_print, text_of(event))
                problem = ""
            else:
                problem = await self._send(url, shown, client, event)
        # Whatever one receiver does must not cost the others.
        except Exception as error:
            problem = repr(error)
        if problem:
            _log.error("not published", url=shown, reason=problem)
        else:
            _log.info("published", url=shown)

    async def _send(self, url: str, shown: str, client: httpx.AsyncClient, event: Mapping[str, Any]) -> str:
        """What went wrong in the end; empty when the event was accepted."""
        target = httpx.URL(url)
        target = target.copy_with(path=f"{target.path.rstrip('/')}/track").copy_merge_params(query_of(event))
        for delay in publish_delays():
            outcome = await _attempt(client, target)
            if not outcome.problem or not publish_again(outcome.status):
                return outcome.problem
            _log.warning("publishing again", url=shown, reason=outcome.problem, retry_seconds=delay)
            await self._wait(delay)
        return (await _attempt(client, target)).problem


async def _attempt(client: httpx.AsyncClient, target: httpx.URL) -> _Outcome:
    try:
        async with asyncio.timeout(_ATTEMPT_SECONDS), client.stream("GET", target) as response:
            return _Outcome(response.status_code, _problem(response.status_code, await _beginning(response)))
    except (httpx.TransportError, TimeoutError) as error:
        return _Outcome(None, f"no answer: {error!r}")


async def _beginning(response: httpx.Response) -> bytes:
    content = b""
    async for piece in response.aiter_raw():
        if len(content) < _LONGEST_ANSWER:
            content += piece
    return content


def _problem(status: int, content: bytes) -> str:
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    accepted = isinstance(answer, dict) and answer.get("status") == 1 and answer.get("error") == ""
    if httpx.codes.is_success(status) and accepted:
        return ""
    return f"HTTP {status}: {content[:200].decode(errors='replace')!r}"


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
