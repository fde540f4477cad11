"""One inference request through REST or gRPC, with the answer in the same form for both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import grpc
import httpx
from google.protobuf import json_format
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from mlops.v2_dataplane import v2_dataplane_pb2_grpc

from shared.oip.tensors import content_field, type_outputs
from tests.system.deployment import Deployment

Protocol: TypeAlias = Literal["rest", "grpc"]
PROTOCOLS: tuple[Protocol, ...] = ("rest", "grpc")
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """`status` is the HTTP status or the name of the gRPC code; tensors in the answer's order."""

    status: int | str
    error: str = ""
    tensors: tuple[tuple[str, str, list[int], list[Any]], ...] = ()
    """Name, datatype, shape, flat data."""
    headers: Mapping[str, list[str]] = field(default_factory=dict)
    model_name: str = ""

    @property
    def ok(self) -> bool:
        return self.status in (200, "OK")

    @property
    def data(self) -> dict[str, list[Any]]:
        return {name: data for name, _, _, data in self.tensors}


def tensor(name: str, datatype: str, shape: Sequence[int], data: Sequence[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": list(data)}


def infer(
    deployment: Deployment,
    protocol: Protocol,
    resource: str,
    inputs: Sequence[Mapping[str, Any]],
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """`resource` is what the header seldon-model says: `<model>` or `<pipeline>.pipeline`."""
    ask = _ask_rest if protocol == "rest" else _ask_grpc
    return ask(deployment, resource, inputs, {"seldon-model": resource, **(headers or {})})


def _ask_rest(
    deployment: Deployment, resource: str, inputs: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> Answer:
    url = f"{deployment.data_url}/v2/models/{resource.removesuffix('.pipeline')}/infer"
    answer = httpx.post(url, json={"inputs": inputs}, headers=headers, timeout=SECONDS, trust_env=False)
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    found = {name: answer.headers.get_list(name) for name in answer.headers}
    body = answer.json()
    if answer.status_code != 200:
        return Answer(answer.status_code, body["error"], headers=found)
    tensors = tuple((t["name"], t["datatype"], t["shape"], t["data"]) for t in body["outputs"])
    return Answer(200, tensors=tensors, headers=found, model_name=body["model_name"])


def _ask_grpc(
    deployment: Deployment, resource: str, inputs: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> Answer:
    request = oip.ModelInferRequest(model_name=resource.removesuffix(".pipeline"))
    for each in inputs:
        added = request.inputs.add(name=each["name"], datatype=each["datatype"], shape=each["shape"])
        values = [text.encode() for text in each["data"]] if each["datatype"] == "BYTES" else each["data"]
        getattr(added.contents, content_field(each["datatype"])).extend(values)
    with grpc.insecure_channel(deployment.data_address) as channel:
        stub = v2_dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            reply, call = stub.ModelInfer.with_call(request, metadata=tuple(headers.items()), timeout=SECONDS)
        except grpc.RpcError as error:
            return Answer(error.code().name, error.details() or "")
        found: dict[str, list[str]] = {}
        for name, value in (*call.initial_metadata(), *call.trailing_metadata()):
            found.setdefault(name, []).append(str(value))
    typed = type_outputs(reply)
    tensors = tuple(
        (t.name, t.datatype, list(t.shape), list(getattr(t.contents, content_field(t.datatype)))) for t in typed.outputs
    )
    return Answer("OK", tensors=tensors, headers=found, model_name=reply.model_name)


def as_json(message: Any) -> dict[str, Any]:
    """A protobuf message as plain data."""
    data: dict[str, Any] = json.loads(json_format.MessageToJson(message))
    return data
