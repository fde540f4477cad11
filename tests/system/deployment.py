"""What the system tests do to a deployment."""

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

import grpc
import httpx
import yaml
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from compose import seldon_command
from compose.status import Deployed
from shared.manifests.reader import read_resources

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "samples" / "models"
PIPELINES = ROOT / "samples" / "pipelines"
WAIT_SECONDS = 60
IRIS_REQUEST = {"inputs": [{"name": "predict", "shape": [1, 4], "datatype": "FP32", "data": [[1, 2, 3, 4]]}]}


def manifest(spec: dict[str, Any], name: str) -> dict[str, Any]:
    return {"apiVersion": "mlops.seldon.io/v1alpha1", "kind": "Model", "metadata": {"name": name}, "spec": spec}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    stdout: str
    stderr: str


@dataclass(slots=True)
class Deployment:
    stack: Deployed

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
        """Run the `seldon` command of the deployment, which knows where that is."""
        environment = {"PATH": "/usr/bin:/bin", "HOME": str(self.stack.home.root)}
        done = subprocess.run(
            [str(seldon_command.command(self.stack.home)), *arguments],
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
        """Load a sample manifest and wait until it answers; returns the model's name."""
        name = self._load((SAMPLES / file).read_text())
        self.wait_state(name, "ModelAvailable")
        return name

    def load_manifest(self, spec: dict[str, Any], name: str) -> None:
        """Load a model made here; does not wait."""
        self._load(yaml.safe_dump(manifest(spec, name)))

    def _load(self, text: str) -> str:
        (resource,) = read_resources(text)
        assert isinstance(resource.message, pb.Model)
        with self.api() as scheduler:
            scheduler.LoadModel(pb.LoadModelRequest(model=resource.message), timeout=WAIT_SECONDS)
        return resource.name

    def load_pipeline_sample(self, file: str, *models: str) -> str:
        """Load the sample models in `models` and a sample pipeline; returns its name when it can answer."""
        for model in models:
            self.load_sample(model)
        return self.load_pipeline((PIPELINES / file).read_text())

    def load_pipeline(self, text: str) -> str:
        """Load a pipeline manifest and wait until its latest version can answer; returns its name."""
        (resource,) = read_resources(text)
        assert isinstance(resource.message, pb.Pipeline)
        with self.api() as scheduler:
            scheduler.LoadPipeline(pb.LoadPipelineRequest(pipeline=resource.message), timeout=WAIT_SECONDS)
        self.wait_for(lambda: self.pipeline_ready(resource.name), f"pipeline {resource.name} to be ready")
        return resource.name

    def unload_pipeline(self, name: str) -> None:
        with self.api() as scheduler:
            scheduler.UnloadPipeline(pb.UnloadPipelineRequest(name=name), timeout=WAIT_SECONDS)
        gone = {pb.PipelineVersionState.PipelineTerminated}
        self.wait_for(
            lambda: {(state := self.pipeline_status(name).state).status, state.pipelineGwStatus} == gone,
            f"pipeline {name} to be gone",
        )

    def pipeline_status(self, name: str) -> pb.PipelineWithState:
        """Status of the latest version."""
        with self.api() as scheduler:
            request = pb.PipelineStatusRequest(name=name)
            (answer,) = scheduler.PipelineStatus(request, timeout=WAIT_SECONDS, wait_for_ready=True)
        return answer.versions[-1]

    def pipeline_ready(self, name: str) -> bool:
        state = self.pipeline_status(name).state
        ready = pb.PipelineVersionState.PipelineReady
        return state.status == ready and state.pipelineGwStatus == ready and state.modelsReady

    def unload(self, name: str) -> None:
        with self.api() as scheduler:
            scheduler.UnloadModel(pb.UnloadModelRequest(model=pb.ModelReference(name=name)), timeout=WAIT_SECONDS)
        self.wait_state(name, "ModelTerminated")

    def status(self, name: str) -> pb.ModelVersionStatus:
        """Status of the latest version."""
        with self.api() as scheduler:
            request = pb.ModelStatusRequest(model=pb.ModelReference(name=name))
            (answer,) = scheduler.ModelStatus(request, timeout=WAIT_SECONDS, wait_for_ready=True)
        return answer.versions[-1]

    def state(self, name: str) -> str:
        return pb.ModelStatus.ModelState.Name(self.status(name).state.state)

    @contextmanager
    def api(self) -> Iterator[scheduler_pb2_grpc.SchedulerStub]:
        with grpc.insecure_channel(self.scheduler_address) as channel:
            yield scheduler_pb2_grpc.SchedulerStub(channel)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = WAIT_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
            time.sleep(0.1)

    def wait_state(self, name: str, wanted: str) -> pb.ModelVersionStatus:
        """Wait until the latest version is in a state; returns its status."""
        self.wait_for(lambda: self.state(name) == wanted, f"{name} to be {wanted}")
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
