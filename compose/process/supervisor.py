"""supervisord over its Unix socket: start it, ask it about processes, bring it in line with its configuration."""

import subprocess
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import Faults, SupervisorTransport

from compose.process.leftovers import MARK
from shared.errors import Unavailable

_ANSWERS_WITHIN_SECONDS = 15.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class ProcessInfo:
    """State is supervisord's word: RUNNING, STARTING, BACKOFF, STOPPED, ... `pid` is 0 without a process."""

    name: str
    state: str
    pid: int
    uptime_seconds: int
    problem: str

    @property
    def lasts(self) -> bool:
        """It has not ended within the seconds that count as its start."""
        return self.state == "RUNNING"


class Supervisor:
    """The supervisord that listens on `socket`, whether it runs or not."""

    def __init__(self, program: Path, config: Path, socket: Path) -> None:
        self._program = program
        self._config = config
        self._socket = socket

    def running(self) -> bool:
        try:
            with self._calls() as call:
                call.getState()
        except Unavailable:
            return False
        return True

    def start(self, root: Path) -> None:
        """Start it in the background, marked as belonging to `root`. Raises Unavailable when it does not come up."""
        # Nothing of the caller's environment goes along: what the parts get is what their configuration says.
        environment = {MARK: str(root), "HOME": str(root), "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        environment["PYTHONUNBUFFERED"] = "1"
        started = subprocess.run(
            [str(self._program), "--configuration", str(self._config)],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if started.returncode != 0:
            raise Unavailable(f"supervisord does not start: {(started.stdout + started.stderr).strip()}")
        deadline = time.monotonic() + _ANSWERS_WITHIN_SECONDS
        while not self.running():
            if time.monotonic() > deadline:
                raise Unavailable(f"supervisord does not answer on {self._socket}: see supervisord.log")
            time.sleep(_POLL_SECONDS)

    def update(self) -> list[str]:
        """Make it follow its changed configuration; gives the parts that were started or restarted for it."""
        with self._calls() as call:
            ((added, changed, removed),) = call.reloadConfig()
            for name in [*changed, *removed]:
                call.stopProcessGroup(name)
                call.removeProcessGroup(name)
            for name in [*added, *changed]:
                call.addProcessGroup(name)
        return [*added, *changed]

    def processes(self) -> list[ProcessInfo]:
        with self._calls() as call:
            return [_info(raw) for raw in call.getAllProcessInfo()]

    def start_part(self, name: str) -> None:
        """What lives already is left alone."""
        with self._calls() as call, _tolerated(Faults.ALREADY_STARTED):
            call.startProcess(name, False)

    def stop_part(self, name: str) -> None:
        """Returns when its process has ended. It is not started again until it is asked for."""
        with self._calls() as call, _tolerated(Faults.NOT_RUNNING):
            call.stopProcess(name, True)

    def shutdown(self, last: Collection[str] = ()) -> None:
        """Ask it to stop every part, `last` after the others, and then itself; returns before it has."""
        with self._calls() as call:
            # By itself it would stop one part after the other, and it waits for each before those that started earlier.
            for process in call.getAllProcessInfo():
                if process["name"] not in last:
                    # It may have ended since, or wait for its next start.
                    with suppress(Fault):
                        call.stopProcess(process["name"], False)
            call.shutdown()

    @contextmanager
    def _calls(self) -> Iterator[Any]:
        """Raises Unavailable when nothing answers, or only to say that it is about to end."""
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            yield ServerProxy("http://supervisor", transport=transport).supervisor
        except (OSError, HTTPException) as error:
            raise Unavailable(f"supervisord does not answer on {self._socket}: {error}") from None
        except Fault as fault:
            if fault.faultCode != Faults.SHUTDOWN_STATE:
                raise
            raise Unavailable("supervisord is shutting down") from None
        finally:
            transport.close()


@contextmanager
def _tolerated(code: int) -> Iterator[None]:
    try:
        yield
    except Fault as fault:
        if fault.faultCode != code:
            raise


def _info(raw: dict[str, Any]) -> ProcessInfo:
    alive = bool(raw["pid"])
    return ProcessInfo(
        name=raw["name"],
        state=raw["statename"],
        pid=raw["pid"],
        uptime_seconds=raw["now"] - raw["start"] if alive else 0,
        problem="" if alive else raw["spawnerr"],
    )
