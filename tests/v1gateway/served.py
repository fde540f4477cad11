"""A real MLServer with version 1 classes in it, asked the way the gateway asks."""

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from compose.process.home import REPOSITORY, Home
from services.v1gateway.core import oip, seldon_json
from tests.peers.ports import free_port

CLASSES = Path(__file__).with_name("classes")
SAMPLES = REPOSITORY / "samples" / "artifacts" / "mlserver"
MODELS: Mapping[str, tuple[Path, dict[str, Any]]] = {
    "mock-classifier": (SAMPLES / "mock-classifier", {}),
    "custom-metrics": (SAMPLES / "custom-metrics", {}),
    "everything": (CLASSES / "everything", {"factor": "3", "note": "hello"}),
    "broken": (CLASSES / "broken", {}),
}
"""Name to the folder of its class, and parameters."""
_START_SECONDS = 120


@dataclass(frozen=True)
class Served:
    """The ports of a running one."""

    stub: v2_dataplane_pb2_grpc.GRPCInferenceServiceStub
    metrics_port: int

    def predict(self, model: str, body: Any) -> dict[str, Any]:
        """What a version 1 client is answered. Raises grpc.RpcError."""
        asked = seldon_json.read(json.dumps(body).encode())
        return self._ask(model, oip.request(asked, ()), asked)

    def feedback(self, model: str, body: Any) -> dict[str, Any]:
        told = seldon_json.feedback(json.dumps(body).encode())
        request = oip.feedback(told, ())
        assert request is not None
        assert told.request is not None
        return self._ask(model, request, told.request)

    def _ask(self, model: str, request: Any, asked: Any) -> dict[str, Any]:
        request.model_name = f"{model}_1"
        response = self.stub.ModelInfer(request, timeout=60)
        answer: dict[str, Any] = json.loads(seldon_json.write(oip.answer(response, asked)))
        return answer

    def own_metrics(self) -> str:
        return httpx.get(f"http://127.0.0.1:{self.metrics_port}/prometheus", timeout=60, trust_env=False).text

    def until_shown(self, line: str) -> str:
        """The metrics, once this is among them: those of other processes come a moment after the answer."""
        deadline = time.monotonic() + 60
        while line not in (text := self.own_metrics()):
            assert time.monotonic() < deadline, f"{line!r} is not in:\n{text}"
            time.sleep(0.05)
        return text


@contextlib.contextmanager
def serving(folder: Path, workers: int) -> Iterator[Served]:
    """Started as in a deployment, `folder` being its own; `workers` are its parallel workers."""
    for name, (source, extra) in MODELS.items():
        shutil.copytree(source, folder / "models" / name, ignore=shutil.ignore_patterns("__pycache__"))
        parameters = {"uri": "./", "version": "1", "extra": extra}
        settings = {"name": f"{name}_1", "implementation": "seldon_v1.runtime.V1Runtime", "parameters": parameters}
        (folder / "models" / name / "model-settings.json").write_text(json.dumps(settings))
    http, rpc, metrics, own = (free_port() for _ in range(4))
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY / "compose" / "mlserver"),
        "MLSERVER_HOST": "127.0.0.1",
        "MLSERVER_HTTP_PORT": str(http),
        "MLSERVER_GRPC_PORT": str(rpc),
        "MLSERVER_METRICS_PORT": str(metrics),
        "MLSERVER_PARALLEL_WORKERS": str(workers),
        "SELDON_V1_METRICS_HOST": "127.0.0.1",
        "SELDON_V1_METRICS_PORT": str(own),
    }
    command = [str(Home.of(os.environ).python("mlserver")), "-m", "seldon_v1", "start", "models"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{http}/v2/health/ready", process, folder / "log")
        with grpc.insecure_channel(f"127.0.0.1:{rpc}") as connection:
            yield Served(v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(connection), own)
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=30, trust_env=False).status_code == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
