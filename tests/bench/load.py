"""Load on one URL, by wrk: a generator that is much cheaper than what it measures."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

_SCRIPT = Path(__file__).with_name("post.lua")


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Latencies in microseconds, throughput in requests per second."""

    p50: float
    p99: float
    throughput: float


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go; `model` is the header that Envoy routes by, None for a server called directly."""

    name: str
    url: str
    body: bytes
    model: str | None = None


def require_generator() -> None:
    """Exit with the way to mend it when wrk is missing."""
    if shutil.which("wrk") is None:
        raise SystemExit("the benchmark needs the load generator wrk: apt-get install wrk")


def run(target: Target, connections: int, seconds: int) -> Sample:
    """Raises RuntimeError when a request fails: a figure with errors in it means nothing."""
    with tempfile.NamedTemporaryFile(suffix=".json") as body:
        body.write(target.body)
        body.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(_SCRIPT), target.url, "--", body.name]
        if target.model is not None:
            command.append(target.model)
        finished = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
    outcome = orjson.loads(finished.stdout.strip().splitlines()[-1])
    if outcome["failed"] or not outcome["requests"]:
        raise RuntimeError(f"{target.name}: {outcome['failed']} of {outcome['requests']} requests failed")
    return Sample(outcome["p50_us"], outcome["p99_us"], outcome["requests"] / outcome["duration_us"] * 1e6)
