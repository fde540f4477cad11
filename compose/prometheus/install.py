"""`python3 -m compose.prometheus.install`: Debian's Prometheus, promtool and Pushgateway.

A package is fetched and unpacked, not installed: it needs no rights and starts no service. A deployment on a machine
that cannot have it takes what is on the PATH; tests never do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from compose.process.home import Home

PROMETHEUS = "prometheus"
PUSHGATEWAY = "prometheus-pushgateway"
PROGRAMS = {PROMETHEUS: ("prometheus", "promtool"), PUSHGATEWAY: ("prometheus-pushgateway",)}
"""By package."""
_SECONDS = 120
"""The longest that a step may take."""
# Without a network it is better to know that soon.
_LIMITS = ("Acquire::Retries=0", "Acquire::http::Timeout=15", "Acquire::https::Timeout=15")
_APT = ("apt-get", "-qq", *(f"-o{limit}" for limit in _LIMITS))


class NotInstalled(Exception):
    """Why a package is not there, for a person; `remedy` is what mends it, `remedy_for_tests` for tests."""


def remedy(package: str = PROMETHEUS) -> str:
    return f"install Debian's package {package}, or put {package} on the PATH"


def remedy_for_tests(package: str = PROMETHEUS) -> str:
    return f"see that `apt-get download {package}` works, then run `make setup-dev`"


def folder(home: Home, package: str = PROMETHEUS) -> Path:
    """Where the package is unpacked."""
    return home.venvs / package


def unpacked(name: str, home: Home) -> str | None:
    """The program out of its package; None when that has not been fetched."""
    package = next(package for package, programs in PROGRAMS.items() if name in programs)
    program = folder(home, package) / "usr" / "bin" / name
    return str(program) if program.is_file() else None


def find(name: str, home: Home) -> str | None:
    """The unpacked program, else the one on the PATH; None when there is neither."""
    return unpacked(name, home) or shutil.which(name)


def install(home: Home, package: str = PROMETHEUS) -> None:
    """Fetch and unpack the package unless its programs are there. Raises NotInstalled."""
    if all(unpacked(name, home) for name in PROGRAMS[package]):
        return
    target = folder(home, package)
    print(f"{package}: fetching Debian's package into {target}", flush=True)
    try:
        _fetch(package, target)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip()
        # Beside warnings that have nothing to do with it.
        errors = [line for line in said.splitlines() if line.startswith("E:")]
        raise NotInstalled("; ".join(errors) or said) from None


def main() -> int:
    for package in PROGRAMS:
        try:
            install(Home.of(os.environ), package)
        except NotInstalled as problem:
            print(f"{package}: {problem}", file=sys.stderr)
            print(f"{package}: not there, so its tests will fail: {remedy_for_tests(package)}", file=sys.stderr)
        else:
            print(f"{package}: there", flush=True)
    return 0


def _fetch(package: str, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as download:
        try:
            _run(*_APT, "download", package, where=download)
        except subprocess.CalledProcessError:
            # A new machine has no package lists, and making the machine's takes rights that not everybody has.
            own = _own_lists(Path(download))
            _run(*_APT, *own, "update", where=download)
            _run(*_APT, *own, "download", package, where=download)
        fresh = Path(download) / "fresh"
        for file in Path(download).glob("*.deb"):
            _run("dpkg-deb", "-x", str(file), str(fresh), where=download)
        # What was broken off half-way is not taken for the whole.
        shutil.rmtree(target / "usr", ignore_errors=True)
        (fresh / "usr").rename(target / "usr")


def _own_lists(folder: Path) -> tuple[str, ...]:
    """Options by which apt keeps its lists and its cache below `folder`."""
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    return f"-oDir::State::Lists={lists}", f"-oDir::Cache={cache}"


def _run(*command: str, where: str) -> None:
    subprocess.run(command, cwd=where, check=True, capture_output=True, text=True, timeout=_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
