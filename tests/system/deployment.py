"""What the system tests do to a deployment: with the command line, as a user would."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from compose.process.stack import Stack

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples" / "models"
WAIT_SECONDS = 60
IRIS_REQUEST = {"inputs": [{"name": "predict", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 3, 4]]}]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Deployment:
    stack: Stack

    @property
    def data_address(self) -> str:
        return f"127.0.0.1:{self.stack.port('ENVOY_DATA_PORT')}"

    @property
    def data_url(self) -> str:
        return f"http://{self.data_address}"

    @property
    def scheduler_address(self) -> str:
        return f"127.0.0.1:{self.stack.port('SCHEDULER_SERVER_PORT')}"

    def seldon(self, *arguments: str, stdin: str | None = None) -> Outcome:
        """Run the `seldon` command."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.stack.home.root),
            "SELDON_SCHEDULE_HOST": self.scheduler_address,
            "SELDON_INFER_HOST": self.data_address,
            "SELDON_SCHEDULER_HTTP_HOST": f"127.0.0.1:{self.stack.port('SCHEDULER_HEALTH_PORT')}",
        }
        done = subprocess.run(
            [str(self.stack.home.program("main", "seldon")), *arguments],
            env=environment, cwd=ROOT, input=stdin, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return Outcome(done.returncode, done.stdout, done.stderr)

    def tritonclient_grpc(
        self,
        model: str,
        datatype: str,
        shape: list[int],
        values: Sequence[float],
        *inputs: str,
        options: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Ask a model through the public gRPC client, the same values for every input."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.system.tritonclient_grpc", self.data_address, model, datatype,
             json.dumps(shape), json.dumps(list(values)), *inputs, *options],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def load_sample(self, file: str) -> str:
        """`seldon model load`, then wait; returns the model's name."""
        path = SAMPLES / file
        name: str = yaml.safe_load(path.read_text())["metadata"]["name"]
        self.load_file(path, name)
        return name

    def load_file(self, path: Path, name: str) -> None:
        loaded = self.seldon("model", "load", "-f", str(path))
        assert loaded.code == 0, loaded
        waited = self.seldon("model", "status", name, "-w", "ModelAvailable", "-t", str(WAIT_SECONDS))
        assert waited.code == 0, (waited, self.status(name))

    def load_manifest(self, spec: dict[str, Any], name: str) -> Outcome:
        """Load a model made here; does not wait."""
        manifest = {
            "apiVersion": "mlops.seldon.io/v1alpha1",
            "kind": "Model",
            "metadata": {"name": name},
            "spec": spec,
        }
        return self.seldon("load", stdin=yaml.safe_dump(manifest))

    def unload(self, name: str) -> None:
        assert self.seldon("model", "unload", name).code == 0
        self.wait_for(lambda: self.state(name) == "ModelTerminated", f"{name} to be unloaded")

    def status(self, name: str) -> dict[str, Any]:
        """The latest version as `seldon model status` tells it."""
        shown = self.seldon("model", "status", name)
        assert shown.code == 0, shown
        versions: list[dict[str, Any]] = json.loads(shown.stdout)["versions"]
        return versions[-1]

    def state(self, name: str) -> str:
        state: str = self.status(name)["state"]["state"]
        return state

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.1)

    def wait_state(self, name: str, wanted: str) -> dict[str, Any]:
        """Wait until the latest version is in a state; returns its status."""
        self.wait_for(lambda: self.state(name) == wanted, f"{name} to be {wanted}; it is {self.status(name)}")
        return self.status(name)

    @contextmanager
    def requests_running(self, model: str, threads: int = 3) -> Iterator["Traffic"]:
        """Ask a model again and again, over kept connections, while the block runs."""
        traffic = Traffic(f"{self.data_url}/v2/models/{model}/infer", model)
        workers = [threading.Thread(target=traffic.run) for _ in range(threads)]
        for worker in workers:
            worker.start()
        try:
            traffic.wait_for_more()
            yield traffic
        finally:
            traffic.stop.set()
            for worker in workers:
                worker.join()


@dataclass(slots=True)
class Traffic:
    """Requests in a loop, and what became of them."""

    url: str
    model: str
    stop: threading.Event = field(default_factory=threading.Event)
    routes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        with httpx.Client(timeout=60, trust_env=False, headers={"Seldon-Model": self.model}) as client:
            while not self.stop.is_set():
                self._ask(client)

    def _ask(self, client: httpx.Client) -> None:
        try:
            answer = client.post(self.url, json=IRIS_REQUEST)
            wrong = "" if answer.status_code == 200 else f"{answer.status_code} {answer.text}"
        except httpx.HTTPError as error:
            answer, wrong = None, repr(error)
        with self._lock:
            if answer is None or wrong:
                self.failures.append(wrong)
            else:
                assert answer.json()["outputs"][0]["data"] == [2]
                self.routes[answer.headers["x-seldon-route"]] += 1

    def wait_for_more(self, count: int = 50) -> None:
        """Return when `count` more requests have been answered."""
        target = self.answered + count
        deadline = time.monotonic() + WAIT_SECONDS
        while self.answered < target:
            assert time.monotonic() < deadline, f"no answers; failures: {self.failures[:3]}"
            time.sleep(0.01)

    def wait_for_route(self, route: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.routes[route]:
            assert time.monotonic() < deadline, f"{route} never answered: {self.routes}, {self.failures[:3]}"
            time.sleep(0.01)

    @property
    def answered(self) -> int:
        return sum(self.routes.values())
