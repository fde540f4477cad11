"""What a real Prometheus says."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from compose.process.home import Home
from compose.prometheus.install import remedy_for_tests, unpacked
from tests.peers.ports import free_port

_LOOK_SECONDS = 0.2
_START_SECONDS = 60.0


def program(name: str) -> str:
    """`prometheus` or `promtool`. Raises RuntimeError with the remedy when it is not installed."""
    found = unpacked(name, Home.of(os.environ))
    if found is None:
        raise RuntimeError(f"no {name} found: {remedy_for_tests()}")
    return found


@dataclass(frozen=True)
class Prometheus:
    url: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        answer = self._get("query", query=query)
        result: list[dict[str, Any]] = answer["result"]
        return result

    def value(self, query: str) -> float:
        """The value of the only sample; NaN when there is none."""
        samples = self.ask(query)
        assert len(samples) <= 1, samples
        return float(samples[0]["value"][1]) if samples else float("nan")

    def targets(self) -> dict[str, str]:
        """What each target was asked at, to `up`, or to the last error."""
        active = self._get("targets", state="active")["activeTargets"]
        return {target["scrapeUrl"]: target["lastError"] or target["health"] for target in active}

    def types(self) -> dict[str, str]:
        """Family to type, of everything that was ever read."""
        return {name: entries[0]["type"] for name, entries in self._get("metadata").items()}

    def alerts(self) -> set[str]:
        """Names of the alerts that are pending or firing."""
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"]}

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Look again and again until it holds; whether it does in the end."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_SECONDS)
        return True

    def _get(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30, trust_env=False)
        body = answer.json()
        assert body["status"] == "success", f"{path} {parameters}: {body}"
        return body["data"]


@contextmanager
def running(configuration: str, folder: Path) -> Iterator[Prometheus]:
    """One of the test's own, with its data and its log in the folder. Raises RuntimeError when it does not start."""
    file, log, port = folder / "prometheus.yml", folder / "prometheus.log", free_port()
    file.write_text(configuration)
    command = [
        program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            started = Prometheus(f"http://127.0.0.1:{port}")
            if not started.until(lambda: process.poll() is not None or _is_ready(started.url), _START_SECONDS):
                raise RuntimeError(f"Prometheus is not ready: {log.read_text()}")
            if process.poll() is not None:
                raise RuntimeError(f"Prometheus does not start: {log.read_text()}")
            yield started
        finally:
            process.terminate()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready", timeout=5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
