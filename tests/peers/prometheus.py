"""What a real Prometheus says."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from compose.process.home import Home
from compose.prometheus.install import TEST_REMEDY, unpacked

_LOOK_SECONDS = 0.2


def program(name: str) -> str:
    """`prometheus` or `promtool`. Raises RuntimeError with the remedy when it is not installed."""
    found = unpacked(name, Home.of(os.environ))
    if found is None:
        raise RuntimeError(f"no {name} found: {TEST_REMEDY}")
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
