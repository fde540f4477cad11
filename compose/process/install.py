"""Installs what process mode runs: `python3 -m compose.process.install main mlserver triton kafka`.

Needs Python 3.11 and nothing else, so that it can make the environments that everything else lives in. Each one holds
exactly what its lock file says; one whose lock has not changed since is left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compose import seldon_command
from compose.kafka import jars
from compose.process.home import REPOSITORY, Home
from compose.process.libpython import find_libpython

PYTHON = (3, 11)
_LOCKS = REPOSITORY / "compose" / "locks"
_SAY_EVERY_SECONDS = 5.0

# What pip says, and what to do about it.
_MENDS = (
    ("DO NOT MATCH THE HASHES", "a package differs from the lock: run `pip cache purge`, then try again"),
    ("No space left on device", "free 4 GB on this disk, then try again"),
    ("No matching distribution", "the locks need Linux on x86-64, Python 3.11 and a complete package index"),
    ("Max retries exceeded", "the package index does not answer: check the network and PIP_INDEX_URL, then try again"),
)


class InstallFailed(Exception):
    """What failed and how to mend it, for a person."""


@dataclass(frozen=True)
class Layer:
    """A lock file installed into an environment; a `base` layer is the environment's whole content at first."""

    environment: str
    lock: str
    base: bool = True


_TARGETS = {
    "main": (Layer("main", "process"),),
    "dev": (Layer("main", "process"), Layer("main", "dev", base=False)),
    "mlserver": (Layer("mlserver", "mlserver"),),
    "triton": (Layer("triton", "triton"),),
    "kafka": (Layer("kafka", "kafka"),),
    "wrapper": (Layer("wrapper", "wrapper"),),
}


def main(targets: list[str]) -> int:
    unknown = [target for target in targets if target not in _TARGETS]
    if unknown or not targets:
        print(f"usage: python3 -m compose.process.install {{{','.join(_TARGETS)}}}...", file=sys.stderr)
        return 2
    try:
        check_machine()
        home = Home.of(os.environ)
        with _one_at_a_time(home.root / "install.lock"):
            install_all(dict.fromkeys(layer for target in targets for layer in _TARGETS[target]), home)
            if "kafka" in targets:
                jars.fetch(home.venvs / "kafka" / "jars")
            if "triton" in targets:
                find_libpython()
            if (home.venvs / "main").is_dir():
                link_project(home)
    except (InstallFailed, jars.NotFetched, OSError) as error:
        print(f"install failed: {error}", file=sys.stderr)
        return 1
    return 0


def check_machine(version: tuple[int, ...] = sys.version_info[:3], platform: str = sys.platform) -> None:
    """Raises InstallFailed where the locked packages do not run."""
    if version[:2] != PYTHON:
        raise InstallFailed(
            f"this is Python {'.'.join(map(str, version))}, and the locked packages are for 3.11: "
            "install Python 3.11 and run `make PYTHON=/path/to/python3.11 ...`"
        )
    if platform != "linux":
        raise InstallFailed(f"the inference servers come as Linux programs, and this is {platform}")


def install_all(layers: Iterable[Layer], home: Home) -> None:
    """Environments beside each other, since pip uses one core; the layers of one in order. Raises InstallFailed."""
    by_environment: dict[str, list[Layer]] = {}
    for layer in layers:
        by_environment.setdefault(layer.environment, []).append(layer)

    def install_one(environment: str) -> None:
        for layer in by_environment[environment]:
            install(layer, home)

    with ThreadPoolExecutor() as pool:
        list(pool.map(install_one, by_environment))


def install(layer: Layer, home: Home) -> None:
    """Make the layer what its lock file says. Raises InstallFailed."""
    lock = _LOCKS / f"{layer.lock}.txt"
    venv = home.venvs / layer.environment
    stamp = venv / f".installed-{layer.lock}"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode() + os.fsencode(sys.base_prefix)).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        _say(f"{layer.lock}: installed and up to date")
        return
    started = time.monotonic()
    if layer.base:
        _make_venv(venv)
    _pip_install(layer.lock, lock, home)
    stamp.write_text(digest)
    _say(f"{layer.lock}: installed in {time.monotonic() - started:.0f} s")


def link_project(home: Home) -> None:
    """Make this checkout importable in the main environment, and put the `seldon` command there and into `bin`."""
    packages = home.venvs / "main" / "lib" / "python{}.{}".format(*PYTHON) / "site-packages"
    _write(packages / "seldon.pth", f"{REPOSITORY}\n{REPOSITORY / 'protos' / 'gen'}\n")
    seldon_command.install(home)
    seldon_command.install_in_environment(home)


def _make_venv(venv: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise InstallFailed(
            f"{sys.executable} cannot make a virtual environment (on Debian: apt install python3.11-venv):\n"
            + (made.stdout + made.stderr).strip()
        )


def _pip_install(name: str, lock: Path, home: Home) -> None:
    total = len(re.findall(r"^\S+==", lock.read_text(), re.MULTILINE))
    environment = "main" if name in ("process", "dev") else name
    command = [str(home.python(environment)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--no-color", "--progress-bar", "off", "--no-deps", "--require-hashes", "-r", str(lock)]
    home.logs.mkdir(parents=True, exist_ok=True)
    log = home.logs / f"install-{name}.log"
    _say(f"{name}: installing {total} packages (log: {log})")
    output: list[str] = []
    with (
        log.open("w") as record,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip,
    ):
        assert pip.stdout is not None
        for line in _reported(pip.stdout, name, total):
            record.write(line)
            output.append(line)
    if pip.returncode != 0:
        raise InstallFailed(_explain(name, "".join(output), log))


def _reported(lines: Iterator[str], name: str, total: int) -> Iterator[str]:
    """The same lines, with a word on the progress every few seconds."""
    started = said = time.monotonic()
    seen = 0
    for line in lines:
        yield line
        seen += line.startswith(("Collecting ", "Requirement already satisfied"))
        if line.startswith("Installing collected"):
            _say(f"{name}: all packages fetched, unpacking ({time.monotonic() - started:.0f} s)")
        elif seen < total and time.monotonic() - said > _SAY_EVERY_SECONDS:
            said = time.monotonic()
            _say(f"{name}: {seen} of {total} packages, {said - started:.0f} s")


def _explain(name: str, output: str, log: Path) -> str:
    afresh = "see the log; running the command again starts afresh"
    mend = next((mend for text, mend in _MENDS if text in output), afresh)
    last = "".join(output.splitlines(keepends=True)[-8:])
    return f"pip could not install {name}: {mend}\n{last}log: {log}"


@contextmanager
def _one_at_a_time(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(line: str) -> None:
    # In one piece, since environments are installed beside each other.
    print(f"{line}\n", end="", flush=True)


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
