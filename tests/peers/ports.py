"""Ports for servers that tests start."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import IO, Final

_FIRST: Final = 10_000
_EACH: Final = 200
"""Ports of one test process. The kernel gives what is above 32,767 to connections, at any time between a test's look
and its server's start, and deployments of tests have what is between here and there."""
_SHARES: Final = 13
OFFSETS: Final = tuple(range(22_700, 7_600, -2_174))
"""Of deployments, below what the kernel gives to connections, and above the ports of single servers. No port of one
falls on another port of the other: between 5001 and 9999 there are many, which steps of whole thousands would meet."""
_SCHEDULER_PORT: Final = 9004
"""What is left of a run that was killed has this one."""
WORKER: Final = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Number of this test worker, from 0."""


def _own(kind: str, shares: Iterable[int]) -> int:
    """A share that no other test process of this machine has, for as long as this one lives.

    Workers of one run, runs of two checkouts: two who look for a free port at once would both find the same.
    """
    folder = Path(tempfile.gettempdir(), f"seldon-test-{kind}-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    for share in shares:
        lock = (folder / str(share)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        _locks.append(lock)
        return share
    raise RuntimeError(f"other test processes have all {kind} for tests: wait until one of them ends")


_locks: Final[list[IO[str]]] = []
_share = _own("ports", range(_SHARES))
_own_first = _FIRST + _EACH * _share
_ports = cycle(range(_own_first, _own_first + _EACH))


def free_port() -> int:
    """One that nobody uses, and that no test is given again for long. Raises RuntimeError when there is none."""
    for port in islice(_ports, _EACH):
        if _is_free(port):
            return port
    raise RuntimeError(f"none of the {_EACH} ports from {_own_first} is free: end what uses them")


def free_ports(count: int) -> list[int]:
    return [free_port() for _ in range(count)]


def deployment_offset() -> int:
    """The port offset of a whole deployment, another one at each call. Raises RuntimeError when there is none."""
    return _own("offsets", (offset for offset in OFFSETS if _is_free(_SCHEDULER_PORT + offset)))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
