"""`python3 -m compose.prometheus.install`: Debian's Prometheus and promtool, for the tests of monitoring.

The package is fetched and unpacked, not installed: it needs no rights and starts no service. Programs that are on the
PATH already are left to be used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from compose.process.home import Home

PROGRAMS = ("prometheus", "promtool")
REMEDY = "install Debian's package prometheus, or put prometheus and promtool on the PATH"


def folder(home: Home) -> Path:
    """Where the programs are unpacked."""
    return home.venvs / "prometheus" / "usr" / "bin"


def find(name: str) -> str | None:
    """The program on the PATH, else the unpacked one; None when there is neither."""
    unpacked = folder(Home.of(os.environ)) / name
    return shutil.which(name) or (str(unpacked) if unpacked.is_file() else None)


def main() -> int:
    if all(find(name) for name in PROGRAMS):
        print("prometheus: there", flush=True)
        return 0
    target = folder(Home.of(os.environ)).parents[1]
    print(f"prometheus: fetching Debian's package into {target}", flush=True)
    try:
        _fetch(target)
    except (OSError, subprocess.CalledProcessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        print(f"prometheus: {output.strip()}\nprometheus: not there, so its tests will fail: {REMEDY}", file=sys.stderr)
    return 0


def _fetch(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as download:
        try:
            _run("apt-get", "download", "-qq", "prometheus", where=download)
        except subprocess.CalledProcessError:
            # A new machine has no package lists; making them takes rights.
            _run("apt-get", "update", "-qq", where=download)
            _run("apt-get", "download", "-qq", "prometheus", where=download)
        for package in Path(download).glob("*.deb"):
            _run("dpkg-deb", "-x", str(package), str(target), where=download)


def _run(*command: str, where: str) -> None:
    subprocess.run(command, cwd=where, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    sys.exit(main())
