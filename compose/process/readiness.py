"""Whether a part does its work yet, from its own readiness endpoint."""

import json
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from compose.process.program import Program

_TIMEOUT_SECONDS = 2.0
# An HTTP proxy of the user's environment has no business with loopback addresses.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Readiness:
    """`waits_for` is empty when ready; `brief` are only the names of what is missing, where they are known."""

    ready: bool
    waits_for: str
    brief: str = ""


def look(program: Program, lasts: bool) -> Readiness:
    """Ask once, for two seconds at most. `lasts`: its process has not ended within its first seconds."""
    url = program.ready_url
    if url is None:
        return Readiness(True, "") if lasts else Readiness(False, program.unready)
    if url.startswith("tcp:"):
        return _listens(url, program.unready)
    try:
        with _direct.open(url, timeout=_TIMEOUT_SECONDS):
            return Readiness(True, "")
    except urllib.error.HTTPError as refusal:
        with refusal:
            body = refusal.read()
            return Readiness(False, explanation(body, program.unready), names(body))
    except TimeoutError:
        return Readiness(False, f"an answer from {url}")
    except OSError:
        return Readiness(False, program.unready)


def _listens(url: str, otherwise: str) -> Readiness:
    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname, place.port), _TIMEOUT_SECONDS):
            return Readiness(True, "")
    except OSError:
        return Readiness(False, otherwise)


def explanation(body: bytes, otherwise: str) -> str:
    """What a readiness answer says is missing: `{"waiting_for": {part: reason}}`, else `otherwise`."""
    return ", ".join(f"{part} ({reason})" for part, reason in _missing(body).items()) or otherwise


def names(body: bytes) -> str:
    """The same without reasons; empty when it does not say."""
    return ", ".join(_missing(body))


def _missing(body: bytes) -> dict[str, str]:
    try:
        waiting: Any = json.loads(body)["waiting_for"]
        return {str(part): str(reason) for part, reason in waiting.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
