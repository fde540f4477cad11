"""Events out of requests: MixPanel "track" calls in all the shapes that clients send them in."""

import base64
import json
from typing import Any, Final
from urllib.parse import parse_qs

from shared.errors import InvalidInput

_NO_EVENT: Final = "no event provided"
_NOT_AN_EVENT: Final = "unable to interpret request as an event"
_FORM: Final = "application/x-www-form-urlencoded"
_TEXTS: Final = ("token", "distinct_id", "$insert_id")
# URL-safe to standard; a plus sign that nobody escaped arrives as a space.
_TO_STANDARD: Final = str.maketrans("-_ ", "+/+")


def event_of(data: str, content_type: str, body: bytes) -> bytes:
    """The event as JSON: from base64 `data` of the query, else from `data` of a form, else from a JSON body.

    Raises InvalidInput with the sentence that clients of such receivers expect.
    """
    # curl calls everything a form that it is not told otherwise about, and no form begins like an object.
    is_form = content_type.partition(";")[0].strip().lower() == _FORM and not body.lstrip().startswith(b"{")
    if is_form:
        data = data or _data_of_form(body)
        body = b""
    if not data and not body:
        raise InvalidInput(_NO_EVENT)
    try:
        event = json.loads(_decoded(data) if data else body, parse_constant=_refuse)
        checked = _checked(event)
        # Numbers beyond what JSON can say were read as infinite; they end here.
        return json.dumps(checked, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise InvalidInput(_NOT_AN_EVENT) from None


def _data_of_form(body: bytes) -> str:
    values = parse_qs(body.decode(errors="replace")).get("data", [""])
    return values[0]


def _decoded(data: str) -> bytes:
    """Either alphabet, with or without padding. Raises ValueError."""
    standard = data.strip().translate(_TO_STANDARD).rstrip("=")
    return base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True)


def _checked(event: Any) -> dict[str, Any]:
    """Name and properties, whatever else there was left out. Raises ValueError."""
    name = event.get("event") if isinstance(event, dict) else None
    properties = event.get("properties") if isinstance(event, dict) else None
    if not isinstance(name, str) or not name.strip() or not isinstance(properties, dict):
        raise ValueError
    if not all(isinstance(properties.get(text), str) for text in _TEXTS):
        raise ValueError
    # In Python true is an integer too.
    if type(properties.get("time")) is not int:
        raise ValueError
    return {"event": name, "properties": properties}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
