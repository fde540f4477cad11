"""Ports to listen on, and a sentence for those that are taken."""

import os
import socket
from typing import Final

from shared.errors import Unavailable

_BACKLOG: Final = 2048


def listening(host: str, port: int) -> socket.socket:
    """A socket on the first address of `host`. Raises Unavailable when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else str(error)
        fix = "stop what uses the port, or set another one"
        raise Unavailable(f"cannot listen on {host}:{port} ({reason}): {fix}") from None
