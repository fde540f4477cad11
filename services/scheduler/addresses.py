"""Addresses as agents announce them, made into what Envoy's endpoint discovery takes: IP addresses."""

import asyncio
import ipaddress
import socket

from services.scheduler.state import Address
from shared.errors import InvalidInput

_MAX_PORT = 65_535


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
    try:
        return Address(str(ipaddress.ip_address(host)), http_port, grpc_port)
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, http_port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInput.of_field("host", host, f"a name that resolves ({error.strerror})") from None
    addresses = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    return Address(str(addresses[0][4][0]), http_port, grpc_port)
