"""Readiness and metadata of a pipeline's models, asked where callers would find them: at Envoy."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from shared.names import HEADER_MODEL

_ANSWER_SECONDS: Final = 5.0
_LARGEST_ANSWER: Final = 1024 * 1024
_AT_ONCE: Final = 100


class ModelsBehind:
    """`base_url` is Envoy's, e.g. `http://127.0.0.1:9000`. A model that does not answer in time counts as not ready."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_AT_ONCE),
            timeout=aiohttp.ClientTimeout(total=_ANSWER_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._client.close()

    async def not_ready(self, models: Iterable[str], headers: Mapping[str, str]) -> list[str]:
        """Those of the models that cannot serve now, sorted. `headers` say on whose behalf they are asked."""
        names = sorted(set(models))
        ready = await asyncio.gather(*(self._ready(name, headers) for name in names))
        return [name for name, is_ready in zip(names, ready, strict=True) if not is_ready]

    async def metadata(self, models: Iterable[str], headers: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """What those say about themselves that do."""
        names = sorted(set(models))
        answers = await asyncio.gather(*(self._metadata(name, headers) for name in names))
        return {name: answer for name, answer in zip(names, answers, strict=True) if answer is not None}

    async def _ready(self, model: str, headers: Mapping[str, str]) -> bool:
        status, _ = await self._get(model, "/ready", headers)
        return status == 200

    async def _metadata(self, model: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
        status, body = await self._get(model, "", headers)
        try:
            content = orjson.loads(body) if status == 200 else None
        except orjson.JSONDecodeError:
            content = None
        return content if isinstance(content, dict) else None

    async def _get(self, model: str, rest: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status 0 when there is no answer."""
        url = f"{self._base_url}/v2/models/{quote(model, safe='')}{rest}"
        try:
            async with self._client.get(
                url, headers={**headers, HEADER_MODEL: model}, allow_redirects=False
            ) as response:
                return response.status, await response.content.read(_LARGEST_ANSWER)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, b""
