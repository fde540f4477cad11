"""Tokens for SASL/OAUTHBEARER, by OAuth 2.0 client credentials."""

import asyncio
import time
from pathlib import Path
from typing import Final

import httpx
from aiokafka.abc import AbstractTokenProvider

from shared.errors import InvalidInput, Unavailable

_TIMEOUT_SECONDS: Final = 10.0
_DEFAULT_LIFE_SECONDS: Final = 300.0
_FRESH_SHARE: Final = 0.8
"""Of a token's life, after which a new one is asked for."""
_NEEDED: Final = ("client_id", "client_secret", "token_endpoint_url")


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]
    """Keeps a token until four fifths of its life have passed; every client of the process shares it."""

    def __init__(
        self,
        endpoint: str,
        client_id: str,
        client_secret: str,
        scope: str = "",
        extensions: dict[str, str] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._credentials = (client_id, client_secret)
        self._form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        self._extensions = extensions or {}
        self._token = ""
        self._stale_at = 0.0
        self._asking: asyncio.Lock = asyncio.Lock()

    @classmethod
    def from_secret(cls, variable: str, folder: Path) -> "ClientCredentials":
        """From a folder with one file for each field. `variable` is what names it, for errors. Raises InvalidInput."""
        fields = {file.name: file.read_text().strip() for file in folder.iterdir() if file.is_file()}
        missing = [name for name in _NEEDED if not fields.get(name)]
        if missing:
            raise InvalidInput.of_field(variable, str(folder), f"add the file {missing[0]} to this folder")
        if fields.get("method", "oidc").lower() not in ("oidc", ""):
            raise InvalidInput.of_field("method of the OAuth secret", fields["method"], "use OIDC")
        return cls(
            endpoint=fields["token_endpoint_url"],
            client_id=fields["client_id"],
            client_secret=fields["client_secret"],
            scope=fields.get("scope", ""),
            extensions=_pairs(fields.get("extensions", "")),
        )

    async def token(self) -> str:
        """Raises Unavailable when the endpoint gives none."""
        async with self._asking:
            if not self._token or time.monotonic() > self._stale_at:
                await self._ask()
            return self._token

    def extensions(self) -> dict[str, str]:
        return self._extensions

    async def _ask(self) -> None:
        asked = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS) as client:
                answer = await client.post(self._endpoint, data=self._form, auth=self._credentials)
            answer.raise_for_status()
            content = answer.json()
            self._token = str(content["access_token"])
            life = float(content.get("expires_in", _DEFAULT_LIFE_SECONDS))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{self._endpoint} gives no token: {error!r}") from None
        self._stale_at = asked + life * _FRESH_SHARE


def _pairs(text: str) -> dict[str, str]:
    """`name=value,name=value`."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    for name, equals, _ in pairs:
        if not name.strip() or not equals:
            raise InvalidInput.of_field("extensions of the OAuth secret", text, "write name=value,name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}
