"""Which headers of a caller travel on its record, and which headers of the answer's record return to the caller."""

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from shared.kafka import headers as kafka
from shared.names import HEADER_ROUTE
from shared.tracing.context import NAMES

Header: TypeAlias = tuple[str, bytes]

HEADER_KEY: Final = "x-seldon-request-key"
"""On replies: the key of the request's records on every topic."""

_NEVER_RETURNED: Final = frozenset({kafka.REQUEST_ID, HEADER_KEY})
# Each hop writes its own; those of inner calls mean nothing to the caller.
_OF_ONE_HOP: Final = ("x-envoy-", "x-forwarded-")
_NAME: Final = re.compile(r"[a-z0-9_.-]+")
_VALUE: Final = re.compile(rb"[\x20-\x7e]*")


def for_record(received: Iterable[Header]) -> list[Header]:
    """The caller's `x-` headers and its trace context, names in lower case; without its request id.

    Nor its route: that has led here, and on the reply only the routes of models that were visited are wanted.
    """
    return [
        (name, value)
        for name, value in received
        if (name.startswith(kafka.X_PREFIX) or name in NAMES) and name not in (HEADER_ROUTE, kafka.REQUEST_ID)
    ]


def for_reply(record: Iterable[Header]) -> list[Header]:
    """The caller's own and what models and engines added on the way: one entry per value, in order, none twice.

    A value that cannot stand in a header line is left out: records are written by others, too.
    """
    seen: set[Header] = set()
    kept = []
    for name, given in record:
        # Kafka knows headers without a value.
        header = name, value = name, given or b""
        if (
            name.startswith(kafka.X_PREFIX)
            and header not in seen
            and name not in _NEVER_RETURNED
            and not name.startswith(_OF_ONE_HOP)
            and _NAME.fullmatch(name)
            and _VALUE.fullmatch(value)
        ):
            seen.add(header)
            kept.append(header)
    return kept
