"""How to reach a Pushgateway, and what its answers mean. Pure; `sending` and `asynchronous` do the talking."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from simplepipe.core.requests import Request
from simplepipe.errors import GatewayRefused, GatewayUnavailable, InvalidArgument

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0
_SHORTEST_TIMEOUT_SECONDS = 0.1
_SHOWN = 500
_ADVICE = {
    400: "mend what it names",
    401: "give user and password (PUSH_GATEWAY_USERNAME, PUSH_GATEWAY_PASSWORD)",
    403: "ask who runs it for the right to push",
    404: "check the address, there may be no Pushgateway behind it",
    405: "check the address, there may be no Pushgateway behind it",
    413: "push less at once",
}


@dataclass(frozen=True)
class Tls:
    """Files in PEM format: whom to trust, and with what to say who one is."""

    ca: str | None = None
    """Authorities to trust instead of the usual ones."""
    certificate: str | None = None
    key: str | None = None

    def context(self) -> ssl.SSLContext:
        """Raises InvalidArgument for files that cannot be used."""
        try:
            made = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as error:
            raise InvalidArgument("file of authorities", self.ca, f"give a PEM file ({error})") from None
        if self.certificate:
            try:
                made.load_cert_chain(self.certificate, self.key)
            except (OSError, ssl.SSLError) as error:
                fix = f"give PEM files of a certificate and its key ({error})"
                raise InvalidArgument("certificate", self.certificate, fix) from None
        return made


@dataclass(frozen=True)
class Gateway:
    """Where a Pushgateway is, how to speak to it, and how long to try."""

    url: str
    """With scheme, without a slash at the end; a host without a scheme means http."""
    basic_auth: tuple[str, str] | None = field(default=None, repr=False)
    tls: Tls | None = None
    timeout: float = 10.0
    """Seconds that one try may take."""
    deadline: float = 10.0
    """Seconds after which no further try is begun; 0 tries once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _checked_url(self.url))
        if self.timeout <= 0:
            raise InvalidArgument("timeout", self.timeout, "give seconds, more than 0")
        if self.deadline < 0:
            raise InvalidArgument("deadline", self.deadline, "give seconds, 0 for one try")

    def client_options(self) -> dict[str, Any]:
        """For a client of httpx, plain or asynchronous. Raises InvalidArgument for TLS files that cannot be used."""
        # Making a context takes longer than a push, so only who needs one has it.
        secure = self.url.startswith("https:")
        verify = (self.tls or Tls()).context() if secure else False
        return {"auth": self.basic_auth, "verify": verify}

    def try_seconds(self, passed: float) -> float:
        """How long the next try may take, `passed` seconds after the first began."""
        if not self.deadline:
            return self.timeout
        return min(self.timeout, max(self.deadline - passed, _SHORTEST_TIMEOUT_SECONDS))

    def wait_seconds(self, tries: int, passed: float) -> float | None:
        """How long to wait after so many tries that failed; None when the deadline forbids another."""
        wait = min(_FIRST_WAIT_SECONDS * 2 ** min(tries - 1, 10), _LONGEST_WAIT_SECONDS)
        return wait if passed + wait < self.deadline else None

    def unavailable(self, reason: str, tries: int) -> GatewayUnavailable:
        tried = f"tried {tries} times in {self.deadline:g} s" if tries > 1 else "tried once"
        return GatewayUnavailable(
            f"the Pushgateway at {self.url} does not answer ({reason}; {tried}): start it, or give its address "
            "(PUSH_GATEWAY_HOSTNAME)"
        )


def failure(status: int) -> str:
    """Why a further try may help; empty for a final answer."""
    return f"status {status}" if status >= 500 or status == 429 else ""


def check(request: Request, status: int, headers: Mapping[str, str], body: str) -> None:
    """Raises GatewayRefused for every final answer that is not a success."""
    if 200 <= status < 300:
        return
    said = " ".join(body.split())[:_SHOWN]
    if 300 <= status < 400:
        advice = f"give the address {headers.get('location', 'that it names')}"
    else:
        advice = _ADVICE.get(status, "see its log")
    raise GatewayRefused(
        status,
        f"the Pushgateway refused {request.method} {request.url} with {status}{': ' if said else ''}{said}; {advice}",
    )


def _checked_url(address: str) -> str:
    fix = "give host:port or http(s)://host:port"
    if not isinstance(address, str) or not address.strip() or any(c.isspace() for c in address.strip()):
        raise InvalidArgument("address of the Pushgateway", address, fix)
    written = address.strip()
    # `localhost:9091` has a scheme too, by the letter of the standard.
    url = written if "://" in written else f"http://{written}"
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise InvalidArgument("address of the Pushgateway", address, fix) from None
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or not port_is_right
        or parts.query
        or parts.fragment
    ):
        raise InvalidArgument("address of the Pushgateway", address, fix)
    if parts.username is not None:
        raise InvalidArgument(
            "address of the Pushgateway",
            f"{parts.scheme}://...@{parts.hostname}",
            "give user and password beside it, not in it",
        )
    return url.rstrip("/")
