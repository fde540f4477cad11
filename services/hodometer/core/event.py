"""The event as it is sent: a MixPanel "track" call."""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from services.hodometer.core.fields import Level, Value, fill

_NAME: Final = "collect metrics"
# A public, write-only project token that existing receivers of such events expect; it opens nothing.
_TOKEN: Final = "e943e8a2ebd1352338ecac1f9fde8c7c"
# Tells the receiver not to look the sender's address up.
_NO_ADDRESS: Final = "0"
_NANOSECONDS: Final = 1_000_000_000
# Only these characters make base64 differ between the standard and the URL-safe alphabet, which some receivers expect.
_ESCAPES: Final = str.maketrans({character: f"\\u{ord(character):04x}" for character in ">?~\x7f"})


def event_of(level: Level, collected: Mapping[str, Value], cluster_id: UUID, now_ns: int) -> dict[str, Any]:
    """The event. `now_ns`: nanoseconds since 1970; they also are the event's unique id."""
    return {
        "event": _NAME,
        "properties": {
            "token": _TOKEN,
            "distinct_id": str(cluster_id),
            "ip": _NO_ADDRESS,
            "time": now_ns // _NANOSECONDS,
            "$insert_id": str(now_ns),
            **fill(level, {**collected, "cluster_id": str(cluster_id)}),
        },
    }


def text_of(event: Mapping[str, Any]) -> str:
    """The event as JSON on one line."""
    return json.dumps(event, separators=(",", ":"))


def query_of(event: Mapping[str, Any]) -> dict[str, str]:
    """The query of the call: JSON in base64, and the wish for an answer in JSON."""
    escaped = text_of(event).translate(_ESCAPES)
    return {"data": base64.b64encode(escaped.encode()).decode(), "verbose": "1"}
