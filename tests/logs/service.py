"""Our services as processes, without anything else around them."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

_SECONDS = 60.0
# Nothing of the shell that runs the tests may have a say.
_PASSED = ("PATH", "PYTHONPATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stderr: str


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {**{name: os.environ[name] for name in _PASSED if name in os.environ}, **variables}


def run_to_end(service: str, arguments: list[str], variables: Mapping[str, str], folder: Path) -> Ended:
    """Of a service that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", f"services.{service}", *arguments],
        env=environment(variables), cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stderr)


@contextlib.contextmanager
def running(service: str, port: int, variables: Mapping[str, str], log: Path, *arguments: str) -> Iterator[str]:
    """A service that answers on its probe port; gives the URL of that. Its lines are in `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"services.{service}", *arguments],
            env=environment(variables), cwd=log.parent, stderr=output,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_live(url, process, log)
        yield url
    finally:
        process.terminate()
        assert process.wait(_SECONDS) == 0, log.read_text()


def _wait_until_live(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/live", trust_env=False).status_code == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
