"""Processes of a deployment that nobody supervises any more, and the end of them.

A process is ours when its environment holds our mark with our folder, which only our supervisord hands out. Runs on a
bare Python as `python3 -m compose.process.leftovers`, for when the environments are gone.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from compose.process.home import Home

MARK = "SELDON_PROCESS_OF"


def marked(root: Path) -> list[int]:
    """Ids of the live processes that belong to the deployment in `root`."""
    own = os.getpid()
    candidates = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return sorted(pid for pid in candidates if pid != own and _is_marked(pid, root))


def end(root: Path, grace_seconds: float = 10.0) -> list[int]:
    """Stop every process that is left, by force after `grace_seconds`; gives their ids. Returns when they are gone."""
    ended: list[int] = []
    ended += _signal_all(root, signal.SIGTERM, grace_seconds)
    # What a dying supervisor started at the last moment needs another round.
    while _signal_all(root, signal.SIGKILL, grace_seconds):
        pass
    return ended


def _signal_all(root: Path, number: signal.Signals, wait_seconds: float) -> list[int]:
    with ExitStack() as handles:
        targets: dict[int, int] = {}
        for pid in marked(root):
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                handles.callback(os.close, handle)
                # The handle is of one process for ever, so asking again rules out that the id changed hands.
                if _is_marked(pid, root):
                    signal.pidfd_send_signal(handle, number)
                    targets[pid] = handle
        _wait_until_gone(targets.values(), wait_seconds)
        return list(targets)


def _wait_until_gone(handles: Iterable[int], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    waiting = list(handles)
    while waiting and (left := deadline - time.monotonic()) > 0:
        gone, _, _ = select.select(waiting, [], [], left)
        waiting = [handle for handle in waiting if handle not in gone]


def _is_marked(pid: int, root: Path) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return os.fsencode(f"{MARK}={root}") in environment.split(b"\0")


if __name__ == "__main__":
    stopped = end(Home.of(os.environ).root)
    print(f"stopped {len(stopped)} processes" if stopped else "nothing was running")
    sys.exit(0)
