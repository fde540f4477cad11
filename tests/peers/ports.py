"""Ports for servers that tests start."""

import os
import socket
from itertools import cycle
from typing import Final

_FIRST: Final = 10_000
_EACH: Final = 650
"""Ports of one test worker. The kernel gives what is above 32,767 to connections, at any time between a test's look and
its server's start, and deployments of tests have what is between here and there."""
_WORKERS: Final = 4
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
_ports = cycle(range(_FIRST + _EACH * _worker, _FIRST + _EACH * (_worker + 1)))


def free_port() -> int:
    """One that nobody listens on, and that no other test is given for a long while."""
    return next(port for port in _ports if _is_free(port))


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
