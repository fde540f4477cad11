"""Triton's Python models run inside the shared library of Python 3.11, which not every Python brings along."""

from __future__ import annotations

import ctypes
import sysconfig
from pathlib import Path

NAME = "libpython3.11.so.1.0"


class NoLibpython(OSError):
    """The library is not on this machine."""


def find_libpython() -> Path | None:
    """Folder of the library that belongs to this interpreter; None when the system's loader finds one by itself.

    Raises NoLibpython with what to do when there is none.
    """
    folder = sysconfig.get_config_var("LIBDIR")
    if folder and Path(folder, NAME).is_file():
        return Path(folder)
    try:
        ctypes.CDLL(NAME)
    except OSError:
        raise NoLibpython(
            f"{NAME} is missing, and Triton's Python models run in it: "
            "on Debian `apt install libpython3.11`, or use a Python 3.11 that was built with --enable-shared"
        ) from None
    return None
