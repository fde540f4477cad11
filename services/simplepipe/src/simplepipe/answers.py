"""What a Pushgateway's answer says beside its status. Pure."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

_NOT_TO_BE_SEEN = (401, 403, 404, 405, 501)


def hides_groups(status: int) -> bool:
    """A gateway that shows nobody what it holds: a proxy in front of it, or another program with the same paths."""
    return status in _NOT_TO_BE_SEEN


def groups_of(body: str) -> Any:
    """None for what is no JSON."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def clock_of(headers: Mapping[str, str]) -> float:
    """Seconds by the clock that push times go by, which need not be this machine's."""
    try:
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return time.time()
