"""Ports for servers that tests start."""

import os
import socket
from itertools import cycle, islice
from typing import Final

_FIRST: Final = 10_000
_EACH: Final = 650
"""Ports of one test worker. The kernel gives what is above 32,767 to connections, at any time between a test's look and
its server's start, and deployments of tests have what is between here and there."""
_WORKERS: Final = 4
WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Number of this test worker, from 0."""
_own_first = _FIRST + _EACH * (WORKER % _WORKERS)
_ports = cycle(range(_own_first, _own_first + _EACH))


def free_port() -> int:
    """One that nobody uses, and that no test is given again for long. Raises RuntimeError when there is none."""
    for port in islice(_ports, _EACH):
        if _is_free(port):
            return port
    raise RuntimeError(f"none of the {_EACH} ports from {_own_first} is free: end what uses them")


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
