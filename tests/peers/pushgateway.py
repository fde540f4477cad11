"""A real Pushgateway."""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from compose.process.home import Home
from compose.prometheus.install import PUSHGATEWAY, remedy_for_tests, unpacked
from tests.peers.ports import free_port

_START_SECONDS = 60.0
_LOOK_SECONDS = 0.02


def program() -> str:
    """Raises RuntimeError with the remedy when it is not installed."""
    found = unpacked(PUSHGATEWAY, Home.of(os.environ))
    if found is None:
        raise RuntimeError(f"no Pushgateway found: {remedy_for_tests(PUSHGATEWAY)}")
    return found


@dataclass(frozen=True)
class Pushgateway:
    url: str

    def text(self) -> str:
        return httpx.get(f"{self.url}/metrics", timeout=30, trust_env=False).text

    def shown(self, job: str, **labels: str) -> dict[str, float]:
        """What it shows of a job: each sample with the labels that are neither the job nor in `labels`, to its value.

        When a job pushed is left out.
        """
        wanted = {"job": job, **labels}
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                if sample.labels.items() >= wanted.items() and not sample.name.startswith("push_"):
                    more = [f'{n}="{v}"' for n, v in sorted(sample.labels.items()) if v and n not in wanted]
                    found[sample.name + (f"{{{','.join(more)}}}" if more else "")] = sample.value
        return found

    def jobs(self) -> set[str]:
        groups = httpx.get(f"{self.url}/api/v1/metrics", timeout=30, trust_env=False).json()["data"]
        return {group["labels"]["job"] for group in groups}


@contextmanager
def running(log: Path, port: int = 0, options: Sequence[str] = ()) -> Iterator[Pushgateway]:
    """One that remembers nothing; its log goes to the file. Raises RuntimeError with the log when it does not start."""
    port = port or free_port()
    command = [program(), f"--web.listen-address=127.0.0.1:{port}", "--persistence.file=", *options]
    with log.open("ab") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            _wait_until_it_listens(process, port, log)
            yield Pushgateway(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            # With TLS or a password this is an error too, and an answer.
            httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=5, trust_env=False)
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the Pushgateway does not start: {log.read_text()}") from None
            time.sleep(_LOOK_SECONDS)
        else:
            return
