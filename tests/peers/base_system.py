"""The programs that the tests may find on the PATH: what every Linux has, make, and nothing that somebody installed.

`python3.11 -m tests.peers.base_system FOLDER` makes a folder of them, with Python, to be a PATH for `.ci/run`.
Runs on a bare Python.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

BASE: Final = (
    "awk", "basename", "bash", "cat", "chmod", "chown", "cmp", "cp", "cut", "date", "df", "dirname", "echo", "env",
    "expr", "false", "find", "flock", "getent", "grep", "gzip", "head", "hostname", "id", "install", "kill", "ldconfig",
    "ln", "ls", "make", "mkdir", "mkfifo", "mktemp", "mv", "nproc", "printenv", "printf", "ps", "pwd", "readlink",
    "realpath", "rm", "rmdir", "sed", "sh", "sleep", "sort", "stat", "stty", "tail", "tar", "tee", "test", "timeout",
    "touch", "tr", "true", "uname", "uniq", "wc", "xargs",
)  # fmt: skip
PACKAGES: Final = ("apt-get", "apt-config", "apt-key", "dpkg", "dpkg-deb", "dpkg-query", "gpgv")
"""By which Prometheus is fetched where there is Debian."""
CONTAINERS: Final = ("docker", "docker-compose")
"""Where there is an engine, tests may run on it; without one they say so and are left out."""


def link(folder: Path, names: Iterable[str]) -> None:
    """Make the folder, with those of the programs that this machine has."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if found := shutil.which(name):
            (folder / name).symlink_to(found)


def main(folder: Path) -> None:
    link(folder, (*BASE, *PACKAGES))
    python = folder / "python3.11"
    # No link: what it is called by would become the home of the environments that it makes.
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
