"""A deployment in plain processes, for make targets and tests alike."""

import fcntl
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from compose import ports, remembered
from compose.process import leftovers, parts, readiness, rendering
from compose.process.home import Home
from compose.process.libpython import find_libpython
from compose.process.preparation import prepare, write
from compose.process.program import Program
from compose.process.settings import Settings, load, of_deployed
from compose.process.supervisor import ProcessInfo, Supervisor
from compose.progress import Report
from compose.status import PartStatus, wait_ready
from shared.errors import InvalidInput, NotFound, Unavailable

_POLL_SECONDS = 0.1
_OPEN_FILES = 65_536
_SHUTDOWN_SECONDS = 30.0
_LAST_BYTES = 2048


class Stack:
    """All parts of one deployment. Objects hold no state of it: any number may speak for the same `home`.

    `home` defaults to SELDON_HOME or `.seldon`; `installed_in` is another home whose environments and sample models
    to use; `port_offset` and `env` win over `.env` and the environment, `settings` over all of these.
    """

    def __init__(
        self,
        home: Path | None = None,
        port_offset: int | None = None,
        env: Mapping[str, str] | None = None,
        installed_in: Path | None = None,
        settings: Settings | None = None,
    ) -> None:
        self._overrides = overrides = dict(env or {})
        if port_offset is not None:
            overrides["SELDON_PORT_OFFSET"] = str(port_offset)
        self.home = Home.of(os.environ, home, installed_in)
        self.settings = settings or load(overrides)
        self._config = self.home.run / "supervisord.conf"
        self._supervisor = Supervisor(
            self.home.program("main", "supervisord"), self._config, self.home.supervisor_socket
        )

    @classmethod
    def deployed(cls, home: Path | None = None, installed_in: Path | None = None) -> Self:
        """What was deployed in `home`, whatever settings say now; where nothing was, what would be."""
        found = remembered.recall(Home.of(os.environ, home), "process")
        known = of_deployed(found.values) if found is not None else None
        return cls(home, installed_in=installed_in, settings=known)

    def with_settings(self, env: Mapping[str, str]) -> Self:
        """The same deployment as it is to be under other settings; nothing changes before `up`."""
        return type(self)(self.home.root, env={**self._overrides, **env}, installed_in=self.home.venvs.parent)

    def up(self) -> list[str]:
        """Start what does not run and restart what changed; gives their names. Does not wait until they are ready."""
        with self._one_at_a_time():
            prepare(self.settings, self.home)
            self._write_supervisor_config()
            running = self._supervisor.running()
            if not running:
                leftovers.end(self.home.root)
            self._refuse_taken_ports(self._ports_deployed() if running else set())
            remembered.remember(self.home, "process", self.settings)
            if running:
                return self._supervisor.update()
            self._supervisor.start(self.home.root)
            return [program.name for program in self._programs()]

    def down(self, purge: bool = False) -> None:
        """Stop everything, whoever supervises it; `purge` also deletes models, database, logs and configuration."""
        with self._one_at_a_time():
            with suppress(Unavailable):
                self._supervisor.shutdown(last=[program.name for program in self._programs() if program.stops_last])
                self._wait_until_all_ended()
            leftovers.end(self.home.root)
            for segment in Path("/dev/shm").glob(f"{parts.shared_memory_prefix(self.home)}*"):
                segment.unlink(missing_ok=True)
            shutil.rmtree(self.home.run, ignore_errors=True)
            remembered.forget(self.home, "process")
            if purge:
                for folder in (self.home.data, self.home.logs, self.home.root / "agents"):
                    shutil.rmtree(folder, ignore_errors=True)

    def wait_ready(self, timeout: float = 120.0, report: Report | None = None) -> None:
        """Return when every part is ready; `timeout` in seconds. `report` is told at every look.

        Raises DeadlineExceeded naming the parts that are not and what they wait for.
        """
        wait_ready(self.status, str(self.home.logs), timeout, report, _POLL_SECONDS)

    def status(self) -> list[PartStatus]:
        try:
            known = {process.name: process for process in self._supervisor.processes()}
        except Unavailable:
            known = {}
        stopped = ProcessInfo("", "STOPPED", 0, 0, "the system to be deployed")
        rows = []
        for program in self._programs():
            process = known.get(program.name, stopped)
            look = readiness.look(program, process.lasts) if process.pid else self._absence(process)
            rows.append(
                PartStatus(
                    part=program.name,
                    state=process.state,
                    ready=look.ready,
                    uptime_seconds=process.uptime_seconds,
                    pid=process.pid,
                    ports=program.ports,
                    waits_for=look.waits_for,
                    missing=look.brief,
                )
            )
        return rows

    def _absence(self, process: ProcessInfo) -> readiness.Readiness:
        return readiness.Readiness(False, _why_not(process, self.home.logs / f"{process.name}.log"))

    def port(self, name: str) -> int:
        """A port by its name in `.env`, offset included."""
        return self.settings.port(name)

    def start(self, part: str) -> None:
        """Raises InvalidInput for what is not a part, and Unavailable when the system is not up."""
        self._supervisor.start_part(self._known(part))

    def stop(self, part: str) -> None:
        """It stays stopped until it is started. Raises as `start` does."""
        self._supervisor.stop_part(self._known(part))

    def pid(self, part: str) -> int:
        """Id of the part's process. Raises NotFound when it has none."""
        for process in self._supervisor.processes():
            if process.name == part and process.pid:
                return process.pid
        raise NotFound(f"{part} is not running")

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send the part's process a signal; gives its id. supervisord starts again what ends of it."""
        pid = self.pid(part)
        os.kill(pid, number)
        return pid

    def logs(self, part: str | None = None) -> None:
        """Follow the logs of one part, or of all, until interrupted."""
        files = [self.log(part)] if part else sorted(self.home.logs.glob("*.log"))
        with suppress(KeyboardInterrupt):
            subprocess.run(["tail", "-n", "20", "-F", *map(str, files)], check=False)

    def log(self, part: str) -> Path:
        """Raises InvalidInput for what is not a part."""
        name = part if part == "supervisord" else self._known(part)
        return self.home.logs / f"{name}.log"

    def _known(self, part: str) -> str:
        names = [program.name for program in self._programs()]
        if part not in names:
            raise InvalidInput.of_field("part", part, f"use one of {', '.join(names)}")
        return part

    def _programs(self) -> tuple[Program, ...]:
        return parts.programs(self.settings, self.home, find_libpython())

    def _write_supervisor_config(self) -> None:
        socket = self.home.supervisor_socket
        files = _open_files()
        write(self._config, rendering.supervisord(self._programs(), socket, self.home.run, self.home.logs, files))

    def _refuse_taken_ports(self, own: Collection[int]) -> None:
        wanted = {program.name: set(program.ports).difference(own) for program in self._programs()}
        ports.refuse_taken(wanted, self.settings)

    def _ports_deployed(self) -> set[int]:
        """Those that its running parts have already."""
        programs = type(self).deployed(self.home.root, self.home.venvs.parent)._programs()
        return {port for program in programs for port in program.ports}

    def _wait_until_all_ended(self) -> None:
        deadline = time.monotonic() + _SHUTDOWN_SECONDS
        while leftovers.marked(self.home.root) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        self.home.root.mkdir(parents=True, exist_ok=True)
        with (self.home.root / "stack.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _why_not(process: ProcessInfo, log: Path) -> str:
    if process.state == "BACKOFF":
        return f"its next start; it ended with: {_last_line(log)}"
    return process.problem or "its start"


def _last_line(log: Path) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LAST_BYTES))
        lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"
    return "no output"


def _open_files() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
