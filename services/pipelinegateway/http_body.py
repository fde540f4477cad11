"""The body of a REST request: whole, decoded, and never larger than may be."""

import asyncio
import zlib
from typing import Final

from services.pipelinegateway.core.admission import Admitted
from services.pipelinegateway.core.record_size import body_limit, check_body
from services.pipelinegateway.exchange import CallerGone
from shared.asgi import Headers, Receive
from shared.beside import LARGE
from shared.errors import InvalidInput

_GZIP_WINDOW: Final = 31
_KNOWN: Final = ("", "identity", "gzip", "x-gzip", "deflate")


def header(headers: Headers, name: bytes) -> str | None:
    """The first value."""
    for each, value in headers:
        if each == name:
            return value.decode("latin-1")
    return None


async def read_body(headers: Headers, receive: Receive, message_max_bytes: int, admitted: Admitted) -> bytes:
    """As it came. Raises CallerGone, and PayloadTooLarge or Overloaded before reading where the length is announced."""
    announced = header(headers, b"content-length")
    if announced is not None and announced.isdecimal():
        check_body(int(announced), message_max_bytes)
        admitted.hold(int(announced))
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerGone
        part = message.get("body", b"")
        size += len(part)
        check_body(size, message_max_bytes)
        admitted.hold(size)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def decoded(body: bytes, encoding: str | None, message_max_bytes: int) -> bytes:
    """Without its content encoding. Raises InvalidInput when that is unknown or broken, PayloadTooLarge."""
    name = (encoding or "").strip().lower()
    if name not in _KNOWN:
        raise InvalidInput.of_field("content-encoding", encoding, "use gzip, deflate or none")
    if name in ("", "identity"):
        return body
    unpacking = zlib.decompressobj(zlib.MAX_WBITS if name == "deflate" else _GZIP_WINDOW)
    limit = body_limit(message_max_bytes)
    try:
        unpacked = unpacking.decompress(body, min(LARGE, limit + 1))
        if not unpacking.eof and len(unpacked) <= limit:
            # It lets others work meanwhile, as parsers do not.
            tail, left = unpacking.unconsumed_tail, limit + 1 - len(unpacked)
            unpacked += await asyncio.to_thread(unpacking.decompress, tail, left)
    except zlib.error as error:
        raise InvalidInput(f"the body is not {name}: {error}") from None
    check_body(len(unpacked), message_max_bytes)
    if not unpacking.eof:
        raise InvalidInput(f"the {name} body is cut short")
    return unpacked


def header_length(headers: Headers) -> int | None:
    """Bytes of JSON before the tensors in binary. Raises InvalidInput."""
    text = header(headers, b"inference-header-content-length")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise InvalidInput.of_field("inference-header-content-length", text, "use the number of bytes of JSON")
    return int(text)
