"""Records whose schema is in a registry: the message is behind a frame of 0, the schema's number in four bytes, and the
message's index in one."""

from typing import Final

_FRAME: Final = 6


def message_start(value: bytes) -> int:
    """Where the message begins: no message that we know begins with a zero."""
    return _FRAME if value[:1] == b"\0" and len(value) >= _FRAME else 0
