"""A gRPC call made of hand-cut HTTP/2 frames, for senders that split messages where libraries never would."""

import asyncio
from collections.abc import Iterable

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_TIMEOUT = 10


def message(body: bytes) -> bytes:
    """One uncompressed gRPC frame."""
    return b"\0" + len(body).to_bytes(4, "big") + body


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _literal(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text


def _header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Literal fields without indexing and without Huffman coding."""
    return b"".join(b"\0" + _literal(name.encode()) + _literal(value.encode()) for name, value in headers)


async def call(port: int, method: str, headers: dict[str, str], pieces: Iterable[bytes]) -> list[bytes]:
    """Send `pieces` as one DATA frame and one write each; returns the bodies of the answer's messages."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    fields = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "mesh")]
    fields += [("content-type", "application/grpc"), ("te", "trailers"), *headers.items()]
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0, b""))
    writer.write(_frame(_HEADERS, _END_HEADERS, 1, _header_block(fields)))
    for piece in pieces:
        writer.write(_frame(_DATA, 0, 1, piece))
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(_frame(_DATA, _END_STREAM, 1, b""))
    try:
        async with asyncio.timeout(_TIMEOUT):
            return _messages(await _answer(reader, writer))
    finally:
        writer.close()
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    received = b""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        kind, flags = head[3], head[4]
        if kind == _DATA:
            received += payload
        elif kind in (_SETTINGS, _PING) and not flags & _ACK:
            writer.write(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            return received


def _messages(received: bytes) -> list[bytes]:
    found = []
    while received:
        length = int.from_bytes(received[1:5], "big")
        found.append(received[5 : 5 + length])
        received = received[5 + length :]
    return found
