"""Addresses as agents announce them, made into what Envoy's endpoint discovery takes: IP addresses."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

from services.scheduler.core.state import Address
from services.scheduler.links.link import Link
from shared.errors import InvalidInput
from shared.logs import logger

_MAX_PORT: Final = 65_535
_LOOK_SECONDS: Final = 5.0
_log = logger("addresses")


def parse_address(field: str, text: str) -> tuple[str, int]:
    """`host:port`. Raises InvalidInput naming the field."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal():
        raise InvalidInput.of_field(field, text, "write host:port")
    return host.strip("[]"), int(port)


async def resolve(host: str, http_port: int, grpc_port: int) -> Address:
    """Look the host up. Raises InvalidInput when it has no address or a port is out of range."""
    for port in (http_port, grpc_port):
        if not 0 < port <= _MAX_PORT:
            raise InvalidInput.of_field("port", port, f"1 to {_MAX_PORT}")
    if _is_address(host):
        return Address(str(ipaddress.ip_address(host)), http_port, grpc_port)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, http_port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInput.of_field("host", host, f"a name that resolves ({error.strerror})") from None
    addresses = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    return Address(str(addresses[0][4][0]), http_port, grpc_port)


@contextlib.asynccontextmanager
async def ended_when_moved(link: Link[Any], announced: Iterable[tuple[str, Address]]) -> AsyncIterator[None]:
    """End the peer's subscription when one of its names comes to mean another address; it then registers anew.

    `announced` are names as the peer announced them, with what they meant then.
    Containers that start again may swap theirs.
    """
    watching = asyncio.create_task(_until_moved([each for each in announced if not _is_address(each[0])]))
    watching.add_done_callback(lambda task: None if task.cancelled() else link.end())
    try:
        yield
    finally:
        watching.cancel()


async def _until_moved(announced: list[tuple[str, Address]]) -> None:
    while announced:
        await asyncio.sleep(_LOOK_SECONDS)
        for host, known in announced:
            # A name that is not known for a while has not moved.
            with contextlib.suppress(InvalidInput):
                found = await resolve(host, known.http_port, known.grpc_port)
                if found != known:
                    _log.info("peer has moved and is to register anew", host=host, old=known.host, new=found.host)
                    return
    await asyncio.Event().wait()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
