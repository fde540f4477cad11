"""What the descriptions of all parts have in common."""

import hashlib
import os
from pathlib import Path

from compose.process.home import REPOSITORY, Home
from compose.process.settings import Settings


def url(settings: Settings, port: int, path: str) -> str:
    return f"http://{address(settings, port)}{path}"


def address(settings: Settings, port: int) -> str:
    """Host and port by which the parts reach each other."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{host}:{port}"


def our_code(home: Home) -> dict[str, str]:
    # By name, so that deployments which share an environment still run their own checkout.
    paths = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "protos" / "gen")))
    return {"PYTHONPATH": paths, "SELDON_INSTALLED": installed(home, "main")}


def installed(home: Home, environment: str) -> str:
    """Changes when the environment was installed anew; whatever runs from it then has to start again."""
    return digest(*sorted((home.venvs / environment).glob(".installed-*")))


def digest(*files: Path) -> str:
    content = hashlib.sha256()
    for file in files:
        content.update(file.read_bytes() if file.is_file() else b"")
    return content.hexdigest()[:16]
