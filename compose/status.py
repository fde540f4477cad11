"""What any deployment can do, in plain processes or in containers, and what can be said of its parts."""

import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from rich.table import Table

from compose.process.home import Home
from compose.process.settings import Settings
from shared.errors import DeadlineExceeded


@dataclass(frozen=True)
class PartStatus:
    """One row of the status: the supervisor's state, and `waits_for`, empty when the part is ready."""

    part: str
    state: str
    ready: bool
    uptime_seconds: int
    pid: int
    ports: tuple[int, ...]
    waits_for: str
    missing: str = ""
    """Only the names of what it waits for, where they are known."""

    @property
    def brief(self) -> str:
        return self.missing or self.waits_for


class Deployed(Protocol):
    """The interface of both kinds; their methods say more."""

    @property
    def home(self) -> Home: ...

    @property
    def settings(self) -> Settings: ...

    def up(self) -> list[str]: ...

    def down(self, purge: bool = False) -> None: ...

    def with_settings(self, env: Mapping[str, str]) -> Self:
        """The same deployment as it is to be under other settings; nothing changes before `up`."""

    def start(self, part: str) -> None: ...

    def stop(self, part: str) -> None: ...

    def status(self) -> list[PartStatus]: ...

    def wait_ready(
        self, timeout: float = ..., report: Callable[[Sequence[PartStatus], float], None] | None = None
    ) -> None: ...

    def logs(self, part: str | None = None) -> None:
        """Follow the logs of one part, or of all, until interrupted."""

    def port(self, name: str) -> int: ...

    def pid(self, part: str) -> int: ...

    def kill(self, part: str, number: signal.Signals = ...) -> int: ...


def wait_ready(
    look: Callable[[], Sequence[PartStatus]],
    logs: str,
    timeout: float,
    report: Callable[[Sequence[PartStatus], float], None] | None,
    poll_seconds: float,
) -> None:
    """Return when every part is ready; `timeout` in seconds. `report` is told at every look, with the seconds passed.

    Raises DeadlineExceeded naming the parts that are not and what they wait for; `logs` is where to read more.
    """
    started = time.monotonic()
    while True:
        rows = look()
        passed = time.monotonic() - started
        if report is not None:
            report(rows, passed)
        if all(row.ready for row in rows):
            return
        if passed > timeout:
            missing = "; ".join(f"{row.part} waits for {row.waits_for}" for row in rows if not row.ready)
            raise DeadlineExceeded(f"not ready after {timeout:.0f} s: {missing}. Logs: {logs}")
        time.sleep(poll_seconds)


def table(rows: Sequence[PartStatus]) -> Table:
    made = Table("part", "state", "uptime", "pid", "ports", "waits for")
    for row in rows:
        state = "ready" if row.ready else row.state.lower()
        uptime = f"{row.uptime_seconds} s" if row.pid else ""
        ports = " ".join(map(str, row.ports))
        made.add_row(row.part, state, uptime, str(row.pid or ""), ports, row.waits_for)
    return made
