"""The environment that Simplepipe is installed into: nothing of this project's own one is seen there."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compose.process.home import REPOSITORY, Home

PROJECT = REPOSITORY / "services" / "simplepipe"
LOCK = REPOSITORY / "compose" / "locks" / "simplepipe.txt"
WORKER = Path(__file__).with_name("worker.py")
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


class Raised(Exception):
    """What the code in the other environment raised."""

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer["message"])
        self.kinds: list[str] = answer["kinds"]
        """Names of its class and of that one's bases, nearest first."""
        self.problems: list[list[Any]] = answer["problems"]
        """Index, name and field of each wrong metric."""


@dataclass(frozen=True)
class Environment:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *command: str, where: Path, env: Mapping[str, str] | None = None) -> Outcome:
        """A program of the environment, by its name, or the interpreter with a file."""
        done = subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]], cwd=where, env=clean(env or {}),
            capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)


class Interpreter:
    """A Python of the environment that runs one piece of code after the other, since starting one takes a second."""

    def __init__(self, environment: Environment, where: Path) -> None:
        self._process = subprocess.Popen(
            [str(environment.python), str(WORKER)], cwd=where, env=clean({}), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(self, code: str, **values: Any) -> Any:
        """What the code leaves in `result`; it sees `values`, and all that simplepipe exports. Raises Raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"code": code, "values": values}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "message" in answer:
            raise Raised(answer)
        return answer["result"]

    def end(self) -> None:
        self._process.communicate(timeout=_TIMEOUT_SECONDS)


def clean(more: Mapping[str, str]) -> dict[str, str]:
    """Without what leads Python or Simplepipe to somewhere else."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG")}
    return {**kept, "NO_PROXY": "*", "PYTHONUNBUFFERED": "1", **more}


def installed() -> Environment:
    """Made once for each state of the project and its lock, whichever test worker comes first."""
    folder = Home.of(os.environ).venvs / "simplepipe"
    folder.parent.mkdir(parents=True, exist_ok=True)
    stamp = folder / ".installed"
    with folder.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        state = _state()
        if not stamp.is_file() or stamp.read_text() != state:
            pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-input"]
            _done([sys.executable, "-m", "venv", "--clear", str(folder)])
            _done([*pip, "--no-deps", "--require-hashes", "-r", str(LOCK)])
            _done([*pip, str(PROJECT)])
            stamp.write_text(state)
    return Environment(folder)


def _state() -> str:
    sources = sorted(file for file in PROJECT.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    content = hashlib.sha256(sys.version.encode())
    for file in (LOCK, *sources):
        content.update(f"{file.relative_to(REPOSITORY)}\n".encode() + file.read_bytes())
    return content.hexdigest()


def _done(command: Sequence[str]) -> None:
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
