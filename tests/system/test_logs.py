"""What callers send and what nobody may know is in no log, whatever the level and however wrong the request."""

import asyncio
import json
from collections.abc import Iterator

import grpc
import httpx
import pytest
import yaml
from mlops.v2_dataplane import v2_dataplane_pb2, v2_dataplane_pb2_grpc

from compose.process import parts
from compose.process.stack import Stack
from tests.system.deployment import IRIS_REQUEST, Deployment
from tests.system.topics import PREFIX, produce

pytestmark = [pytest.mark.system, pytest.mark.kafka]

PAYLOAD = "marker-4711-payload"
SECRET = "marker-4711-secret"
MLSERVER = "mlserver"
"""Somebody else's: it writes what it cannot convert, with a traceback."""
REQUEST_ID = "marker-4711-request"
PORTS = (
    "SCHEDULER_HEALTH_PORT",
    "AGENT_MLSERVER_READINESS_PORT",
    "AGENT_TRITON_READINESS_PORT",
    "MODELGATEWAY_HEALTH_PORT",
    "PIPELINEGATEWAY_METRICS_PORT",
    "DATAFLOW_HEALTH_PORT",
)
REMOTE = {
    "name": "marked",
    "type": "webdav",
    "parameters": {"url": "http://127.0.0.1:1", "bearer_token": SECRET},
}


@pytest.fixture
def everything_logged(deployment: Deployment) -> Iterator[None]:
    """The lowest levels that there are."""

    def put(level: str, library: str | None) -> None:
        for name in PORTS:
            url = f"http://127.0.0.1:{deployment.stack.port(name)}/logging"
            libraries = ("aiokafka", "uvicorn", "grpc", "asyncio", "httpx", "httpcore", "aiohttp", "opentelemetry")
            body = {"level": level, "components": dict.fromkeys(libraries, library)}
            answer = httpx.put(url, json=body, trust_env=False)
            assert answer.status_code == 200, answer.text

    put("debug", "info")
    yield
    put("info", None)


@pytest.fixture
def remote(deployment: Deployment) -> Iterator[None]:
    """A remote with a password in the configuration of the agents."""
    if not isinstance(deployment.stack, Stack):
        pytest.skip("containers keep their logs elsewhere; the services in them are the same")
    file = parts.agent_config(deployment.stack.home)
    before = file.read_text()
    content = yaml.safe_load(before)
    content["rclone"]["config"].append(json.dumps(REMOTE))
    file.write_text(yaml.safe_dump(content))
    deployment.wait_for(
        lambda: _told(deployment, "agent-mlserver", "remotes applied", REMOTE["name"]), "the agent to know the remote"
    )
    yield
    file.write_text(before)


def _requests() -> Iterator[bytes]:
    """Right ones and wrong ones, each with the marker where a parser, a codec or a model meets it."""
    text = {"name": "INPUT0", "shape": [1], "datatype": "BYTES", "data": [PAYLOAD]}
    number = {"name": "INPUT0", "shape": [1], "datatype": "INT32", "data": [PAYLOAD]}
    shape = {"name": PAYLOAD, "shape": [PAYLOAD], "datatype": PAYLOAD, "data": [1]}
    for tensor in (text, number, shape):
        yield json.dumps({"inputs": [tensor]}).encode()
    yield json.dumps({**IRIS_REQUEST, "parameters": {"note": PAYLOAD}}).encode()
    yield json.dumps({"inputs": PAYLOAD}).encode()
    yield f'{{"inputs": [{PAYLOAD}'.encode()
    yield b"\xff" + PAYLOAD.encode()


def _told(deployment: Deployment, part: str, event: str, about: object) -> bool:
    """Whether the part has a line of that event with that text in it."""
    lines = (deployment.stack.home.logs / f"{part}.log").read_text(errors="replace").splitlines()
    return any(f'"event": "{event}"' in line and str(about) in line for line in lines)


def _ask_over_grpc(deployment: Deployment, target: str) -> None:
    request = v2_dataplane_pb2.ModelInferRequest(model_name="x")
    tensor = request.inputs.add(name="INPUT0", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(PAYLOAD.encode())
    with grpc.insecure_channel(deployment.data_address) as channel, pytest.raises(grpc.RpcError):
        v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
            request, timeout=60, metadata=(("seldon-model", target),)
        )


async def _put_nonsense_on(deployment: Deployment, topic: str, pipeline: str) -> None:
    headers = [("pipeline", pipeline.encode())]
    await produce(deployment, f"{PREFIX}.{topic}", b"\xff" + PAYLOAD.encode(), b"k.e.y", headers)


@pytest.mark.usefixtures("remote", "everything_logged")
def test_neither_payloads_nor_secrets_are_in_any_log(deployment: Deployment) -> None:
    deployment.load_sample("sklearn-iris-gs.yaml")
    pipeline = deployment.load_pipeline_sample("tfsimple.yaml", "tfsimple1.yaml")
    with httpx.Client(base_url=deployment.data_url, timeout=60, trust_env=False) as client:
        for body in _requests():
            for path, target in (("models/iris", "iris"), ("pipelines/tfsimple", f"{pipeline}.pipeline")):
                headers = {"Seldon-Model": target, "Content-Type": "application/json", "X-Request-Id": REQUEST_ID}
                client.post(f"/v2/{path}/infer", content=body, headers=headers)
    _ask_over_grpc(deployment, f"{pipeline}.pipeline")
    asyncio.run(_put_nonsense_on(deployment, "model.tfsimple1.inputs", pipeline))
    deployment.wait_for(lambda: _told(deployment, "modelgateway", "record without a call", "tfsimple1"), "its refusal")
    deployment.load_manifest({"storageUri": "marked://bucket/model", "requirements": ["sklearn"]}, "uses-remote")
    deployment.wait_for(
        lambda: _told(deployment, "agent-mlserver", "operation finished", "uses-remote"), "the remote to be used"
    )
    deployment.unload("uses-remote")
    deployment.unload_pipeline(pipeline)
    found = []
    logs = deployment.stack.home.logs
    for log in sorted(set(logs.glob("*.log*")) - {logs / f"{MLSERVER}.log"}):
        text = log.read_text(errors="replace")
        found += [(log.name, line[:300]) for line in text.splitlines() if PAYLOAD in line or SECRET in line]
    assert found == []
