"""The `seldon` command of a deployment: it talks to that one unless it is told otherwise. Runs on a bare Python."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from compose.process.home import REPOSITORY, Home

# As services/cli/addresses.py reads it.
VARIABLE = "SELDON_DEPLOYMENT"


def addresses_file(home: Home) -> Path:
    """The addresses of what was last deployed in this home, in the form of the command's own configuration files."""
    return home.root / "cli.json"


def command(home: Home) -> Path:
    return home.root / "bin" / "seldon"


def install(home: Home) -> None:
    """Write the command of this home."""
    _write(command(home), _script(home, own=True))


def install_in_environment(home: Home) -> None:
    """Write that of the environment: it belongs to the deployment only where the environment belongs to its home."""
    _write(home.program("main", "seldon"), _script(home, own=home.venvs.is_relative_to(home.root)))


def _write(file: Path, script: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.is_file() or file.read_text() != script:
        file.write_text(script)
    file.chmod(0o755)


def _script(home: Home, own: bool) -> str:
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "protos" / "gen")))
    lines = ["#!/bin/sh"]
    if own:
        lines += [f"export {VARIABLE}={shlex.quote(str(addresses_file(home)))}"]
        # The environment may be shared with another checkout.
        lines += [f"export PYTHONPATH={shlex.quote(paths)}${{PYTHONPATH:+:$PYTHONPATH}}"]
    # -P: the folder that somebody stands in may have a package of the same name.
    lines += [f'exec {shlex.quote(str(home.python("main")))} -P -m services.cli "$@"']
    return "\n".join(lines) + "\n"
