"""supervisord keeps a part up, follows a changed configuration, and nothing of it survives the end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from compose.process import leftovers
from compose.process.program import Program
from compose.process.supervisor import ProcessInfo, Supervisor
from shared.errors import Unavailable

Configure = Callable[[Program], Supervisor]


def _sleeper(folder: Path, **environment: str) -> Program:
    return Program("sleeper", ("/bin/sleep", "600"), folder, "http://x", (), environment, stop_seconds=2)


def _wait(supervisor: Supervisor, condition: Callable[[ProcessInfo], bool]) -> ProcessInfo:
    deadline = time.monotonic() + 20
    while True:
        (process,) = supervisor.processes()
        if condition(process):
            return process
        assert time.monotonic() < deadline, process
        time.sleep(0.02)


def test_a_killed_part_is_started_again(configure: Configure, root: Path) -> None:
    supervisor = configure(_sleeper(root))
    assert not supervisor.running()
    supervisor.start(root)
    first = _wait(supervisor, lambda process: process.pid > 0)
    os.kill(first.pid, signal.SIGKILL)
    second = _wait(supervisor, lambda process: process.pid not in (0, first.pid))
    # Between fork and exec it is not marked yet.
    _wait(supervisor, lambda process: process.pid == second.pid and process.pid in leftovers.marked(root))


def test_only_a_changed_part_is_restarted(configure: Configure, root: Path) -> None:
    supervisor = configure(_sleeper(root, SETTING="1"))
    supervisor.start(root)
    before = _wait(supervisor, lambda process: process.pid > 0)
    assert supervisor.update() == []
    configure(_sleeper(root, SETTING="2"))
    assert supervisor.update() == ["sleeper"]
    after = _wait(supervisor, lambda process: process.pid > 0)
    assert after.pid != before.pid


def test_a_part_that_cannot_start_says_so(configure: Configure, root: Path) -> None:
    supervisor = configure(Program("sleeper", (str(root / "nothing-here"),), root, "http://x", ()))
    supervisor.start(root)
    assert "nothing-here" in _wait(supervisor, lambda process: bool(process.problem)).problem


def test_what_a_killed_supervisord_leaves_is_found_and_ended(configure: Configure, root: Path) -> None:
    supervisor = configure(_sleeper(root))
    supervisor.start(root)
    orphan = _wait(supervisor, lambda process: process.pid > 0)
    os.kill(int((root / "supervisord.pid").read_text()), signal.SIGKILL)
    stranger = subprocess.Popen(["/bin/sleep", "600"], env={leftovers.MARK: f"{root}-other"})
    try:
        assert orphan.pid in leftovers.end(root)
        assert leftovers.marked(root) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
    with pytest.raises(Unavailable):
        supervisor.processes()


def test_a_process_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", stubborn], env={leftovers.MARK: str(tmp_path)}, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        assert leftovers.end(tmp_path, grace_seconds=0.2) == [process.pid]
        assert process.wait() == -signal.SIGKILL
