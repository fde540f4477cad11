"""The FNV-1a hash with 32 bits, by which several sides of a wire choose the same number for a name."""

from typing import Final

_OFFSET: Final = 0x811C9DC5
_PRIME: Final = 0x01000193


def fnv1a_32(text: str) -> int:
    """Of the text's UTF-8 bytes."""
    digest = _OFFSET
    for byte in text.encode():
        digest = (digest ^ byte) * _PRIME & 0xFFFFFFFF
    return digest
