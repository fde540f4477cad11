"""How large a request is as a record; refused before anything is produced when that is too much."""

from collections.abc import Iterable
from typing import Final

from shared.errors import PayloadTooLarge

# Frame of a batch with one record, and of each header in it, with lengths at their longest.
_FRAME: Final = 61 + 5 * 7
_HEADER_FRAME: Final = 2 * 5
_TEXT_PER_BINARY: Final = 4
_LARGEST_BODY: Final = 1000 * 1024 * 1024


def record_bytes(value: bytes, key: bytes, headers: Iterable[tuple[str, bytes]]) -> int:
    """An upper bound of the record's size on the wire, uncompressed."""
    in_headers = sum(len(name) + len(content) + _HEADER_FRAME for name, content in headers)
    return _FRAME + len(value) + len(key) + in_headers


def check(size: int, limit: int) -> None:
    """Raises PayloadTooLarge with both numbers."""
    if size > limit:
        raise PayloadTooLarge(
            f"the request takes {size} bytes on Kafka, the limit is {limit} bytes (message.max.bytes)"
        )


def body_limit(limit: int) -> int:
    """The largest body whose record may still be within `limit`: numbers are longer as text than in binary."""
    return max(limit, min(limit * _TEXT_PER_BINARY, _LARGEST_BODY))


def check_body(size: int, limit: int) -> None:
    """Raises PayloadTooLarge for a body that `body_limit` excludes, whatever it holds."""
    if size > body_limit(limit):
        raise PayloadTooLarge(
            f"the request's body has {size} bytes or more, the limit is {body_limit(limit)} bytes "
            f"for records of at most {limit} bytes (message.max.bytes)"
        )
