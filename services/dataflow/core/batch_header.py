"""The header that says which requests one record was merged from: `rows/key` of each, `rows/key/visit` in loops."""

from typing import NamedTuple
from urllib.parse import quote_from_bytes, unquote_to_bytes

from shared.errors import InvalidInput


class Share(NamedTuple):
    key: bytes
    rows: int
    visit: int = 0
    """How often the step was visited before, in a pipeline with cycles."""


def encode(shares: list[Share]) -> bytes:
    return ",".join(
        f"{share.rows}/{quote_from_bytes(share.key, safe='')}" + (f"/{share.visit}" if share.visit else "")
        for share in shares
    ).encode()


def decode(value: bytes) -> list[Share]:
    """Raises InvalidInput when this is not what `encode` makes."""
    shares = []
    for entry in value.decode(errors="replace").split(","):
        rows, *rest = entry.split("/")
        if not 1 <= len(rest) <= 2 or not all(number.isdecimal() for number in (rows, *rest[1:])):
            raise InvalidInput.of_field("batch member", entry[:100], "write 'rows/key'")
        shares.append(Share(unquote_to_bytes(rest[0]), int(rows), int(rest[1]) if len(rest) == 2 else 0))
    return shares
