"""Calls through a real broker: answers, errors, deadlines and what they leave behind."""

import asyncio
import gzip
import struct
from typing import Any

import grpc.aio
import orjson
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from services.pipelinegateway import rest_codec
from shared.kafka import headers as kafka
from shared.oip.json_codec import request_from_json
from shared.oip.tensors import type_outputs
from tests.pipelinegateway.conftest import MESSAGE_MAX_BYTES, World
from tests.pipelinegateway.engine import Out, answer_of, echo, failing, silent

BODY = {"id": "mine", "inputs": [{"name": "A", "datatype": "INT32", "shape": [1, 3], "data": [[1, 2, 3]]}]}


def request(*numbers: int) -> oip.ModelInferRequest:
    made = oip.ModelInferRequest(model_name="any", id="mine")
    made.inputs.add(name="A", datatype="INT32", shape=[len(numbers)]).contents.int_contents.extend(numbers)
    return made


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value


async def test_rest(world: World) -> None:
    response = await world.gateway.rest.post(world.path, json=BODY, headers={"X-Tenant": "t", "traceparent": "00-1"})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    content = response.json()
    assert content["model_name"] == ""
    assert content["id"] == "mine"
    assert content["outputs"][0]["data"] == [1, 2, 3]
    record = await world.engine.seen.get()
    headers = dict(record.headers)
    assert record.key is not None
    partition, resource, own_id = record.key.decode().split(".")
    assert (int(partition), resource) == (record.partition, world.name)
    assert headers["pipeline"] == world.name.encode()
    assert (headers["x-tenant"], headers["traceparent"]) == (b"t", b"00-1")
    assert headers["x-request-id"] == own_id.encode() == response.headers["x-request-id"].encode()
    assert int(headers["seldon-deadline-ms"]) > 0
    assert response.headers["x-seldon-request-key"] == record.key.decode()
    assert response.headers["x-tenant"] == "t"
    call = world.gateway.inference.ModelInfer(request(1), metadata=[*world.metadata, ("x-tenant", "t")])
    await call
    assert (await call.initial_metadata())["x-tenant"] == "t"
    assert world.gateway.metric("seldon_pipeline_infer_total", pipeline=world.name, method_type="rest", code="200") == 1
    assert len(world.gateway.process.waiting) == 0


async def test_grpc(world: World) -> None:
    sent = request(4, 5)
    call = world.gateway.inference.ModelInfer(sent, metadata=[*world.metadata, ("x-request-id", "theirs")])
    answer = await call
    assert list(answer.outputs[0].contents.int_contents) == [4, 5]
    metadata = await call.initial_metadata()
    assert metadata.get_all("x-request-id") == ["theirs"]
    record = await world.engine.seen.get()
    assert record.value == sent.SerializeToString()
    assert metadata["x-seldon-request-key"] == (record.key or b"").decode()
    assert (record.key or b"").startswith(f"{record.partition}.{world.name}.theirs.".encode())
    labels = {"pipeline": world.name, "method_type": "grpc", "code": "OK"}
    assert world.gateway.metric("seldon_pipeline_infer_total", **labels) == 1
    assert world.gateway.metric("seldon_pipeline_infer_seconds_total", **labels) > 0
    histogram = {"pipeline": world.name, "method": "grpc", "code": "OK", "le": "+Inf"}
    assert world.gateway.metric("seldon_pipeline_infer_api_seconds_bucket", **histogram) == 1
    assert world.gateway.metric("seldon_pipeline_aggregate_infer_total", method_type="grpc") == 1


async def test_addressed_by_header_whatever_the_path_says(world: World) -> None:
    headers = {"seldon-model": "e.experiment", "seldon-internal-model": f"{world.name}.pipeline"}
    response = await world.gateway.rest.post("/v2/models/e/versions/7/infer", json=BODY, headers=headers)
    assert response.status_code == 200


DATA: list[tuple[str, list[Any]]] = [
    ("BOOL", [True, False]),
    ("UINT8", [0, 255]),
    ("UINT16", [0, 65535]),
    ("UINT32", [0, 2**32 - 1]),
    ("UINT64", [0, 2**64 - 1]),
    ("INT8", [-128, 127]),
    ("INT16", [-(2**15), 2**15 - 1]),
    ("INT32", [-(2**31), 2**31 - 1]),
    ("INT64", [-(2**63), 2**63 - 1]),
    ("FP16", [0.5, "Infinity"]),
    ("FP32", [1.5, "NaN"]),
    ("FP64", [0.1, 1e300]),
]


async def test_every_datatype_comes_back_as_it_went(world: World) -> None:
    for datatype, data in DATA:
        tensor = {"name": "T", "datatype": datatype, "shape": [2], "data": data}
        response = await world.gateway.rest.post(world.path, json={"inputs": [tensor]})
        assert response.status_code == 200, response.text
        assert response.json()["outputs"][0]["data"] == data, datatype


async def test_text(world: World) -> None:
    tensor = {"name": "T", "datatype": "BYTES", "shape": [2], "data": ["é", ""], "parameters": {"content_type": "str"}}
    response = await world.gateway.rest.post(world.path, json={"inputs": [tensor]})
    assert response.json()["outputs"][0]["data"] == ["é", ""]


async def test_binary_tensors_both_ways(world: World) -> None:
    raw = struct.pack("<3i", 7, 8, 9)
    tensor = {"name": "A", "datatype": "INT32", "shape": [3], "parameters": {"binary_data_size": len(raw)}}
    text = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    headers = {"Inference-Header-Content-Length": str(len(text))}
    response = await world.gateway.rest.post(world.path, content=text + raw, headers=headers)
    assert response.status_code == 200, response.text
    length = int(response.headers["inference-header-content-length"])
    assert response.content[length:] == raw
    assert "data" not in orjson.loads(response.content[:length])["outputs"][0]


async def test_packed_bodies(world: World) -> None:
    packed = gzip.compress(orjson.dumps(BODY))
    good = await world.gateway.rest.post(world.path, content=packed, headers={"content-encoding": "gzip"})
    assert good.status_code == 200, good.text
    for content, encoding in ((packed[:-9], "gzip"), (b"no gzip", "gzip"), (packed, "br")):
        bad = await world.gateway.rest.post(world.path, content=content, headers={"content-encoding": encoding})
        assert bad.status_code == 400
        assert "error" in bad.json()


async def test_large_bodies_are_read_and_written_elsewhere(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def here(*_: Any, **__: Any) -> Any:
        raise AssertionError("this would stop everybody")

    monkeypatch.setattr(rest_codec, "request_from_json", here)
    monkeypatch.setattr(rest_codec, "response_to_binary", here)
    monkeypatch.setattr(rest_codec, "selected", here)
    numbers = list(range(150_000))
    body = orjson.dumps({"inputs": [{"name": "A", "datatype": "FP32", "shape": [len(numbers)], "data": numbers}]})
    for content, headers in ((body, {}), (gzip.compress(body), {"content-encoding": "gzip"})):
        response = await world.gateway.rest.post(world.path, content=content, headers=headers)
        assert response.status_code == 200, response.text[:500]
        assert response.json()["outputs"][0]["data"] == numbers
    answer = await world.gateway.inference.ModelInfer(request_from_json(body), metadata=world.metadata)
    assert len(answer.outputs[0].contents.fp32_contents) == len(numbers)
    # Small ones stay where they are.
    small = await world.gateway.rest.post(world.path, json=BODY)
    assert (small.status_code, "stop everybody" in small.json()["error"]) == (500, True)


async def test_a_packed_bomb_is_not_unpacked(world: World) -> None:
    bomb = gzip.compress(b" " * (MESSAGE_MAX_BYTES * 10))
    response = await world.gateway.rest.post(world.path, content=bomb, headers={"content-encoding": "gzip"})
    assert response.status_code == 413


@pytest.mark.parametrize("raw", [False, True])
async def test_requested_outputs_are_selected(world: World, raw: bool) -> None:
    def tensor(name: str, number: int) -> dict[str, Any]:
        return {"name": name, "datatype": "FP16" if raw else "INT32", "shape": [1], "data": [number]}

    inputs = [tensor("A", 1), tensor("B", 2), tensor("C", 3), tensor("A", 4)]
    for names, expected in ((["C", "A"], [("C", 3), ("A", 1), ("A", 4)]), (["B", "B"], [("B", 2)])):
        body = {"inputs": inputs, "outputs": [{"name": name} for name in names]}
        response = await world.gateway.rest.post(world.path, json=body)
        assert [(output["name"], output["data"][0]) for output in response.json()["outputs"]] == expected
        sent = request_from_json(orjson.dumps(body))
        answer = await world.gateway.inference.ModelInfer(sent, metadata=world.metadata)
        typed = type_outputs(answer)
        found = [(each.name, (each.contents.fp32_contents or each.contents.int_contents)[0]) for each in typed.outputs]
        assert found == expected
    binary = {"inputs": inputs, "outputs": [{"name": "B", "parameters": {"binary_data": True}}]}
    response = await world.gateway.rest.post(world.path, json=binary)
    (output,) = orjson.loads(response.content[: int(response.headers["inference-header-content-length"])])["outputs"]
    assert output["name"] == "B"


async def test_an_unknown_output_is_named(world: World) -> None:
    body = {**BODY, "outputs": [{"name": "A"}, {"name": "nope"}]}
    response = await world.gateway.rest.post(world.path, json=body)
    assert response.status_code == 400
    assert response.json()["error"] == f"invalid output 'nope': pipeline {world.name} gives A"
    sent = request(1)
    sent.outputs.add(name="nope")
    failed = await failure(world.gateway.inference.ModelInfer(sent, metadata=world.metadata))
    assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "invalid output 'nope'" in (failed.details() or "")


async def test_bytes_that_are_no_text_are_marked(world: World) -> None:
    sent = {**BODY["inputs"][0], "datatype": "BYTES", "shape": [1], "data": ["x"]}  # type: ignore[dict-item]
    answer = oip.ModelInferResponse()
    answer.outputs.add(name="A", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"\xff\xfe")
    world.behave(lambda record: [Out(answer.SerializeToString())])
    response = await world.gateway.rest.post(world.path, json={"inputs": [sent]})
    (output,) = response.json()["outputs"]
    assert (output["data"], output["parameters"]) == (["//4="], {"content_type": "base64"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "JSON"),
        (b"[1]", "object"),
        (b"{}", "inputs"),
        (b'{"inputs":[]}', "inputs"),
        (b'{"inputs":[{"name":"A","datatype":"INT3","shape":[1],"data":[1]}]}', "INT3"),
        (b'{"inputs":[{"name":"A","datatype":"INT32","shape":[2],"data":[1]}]}', "2"),
    ],
)
async def test_bad_bodies(world: World, body: bytes, said: str) -> None:
    response = await world.gateway.rest.post(world.path, content=body)
    assert response.status_code == 400
    assert said in response.json()["error"]
    assert "x-request-id" in response.headers
    assert world.gateway.metric("seldon_pipeline_infer_total", pipeline=world.name, method_type="rest", code="400") == 1


async def test_bad_messages(world: World) -> None:
    unary: Any = world.gateway.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
    garbage = await failure(unary(b"\xff\xff", metadata=world.metadata))
    assert garbage.code() is grpc.StatusCode.INVALID_ARGUMENT
    empty = await failure(unary(b"", metadata=world.metadata))
    assert empty.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert world.engine.seen.empty()


TEXT = "rpc error: code = InvalidArgument desc = unexpected shape"


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [
        (None, 400, "UNKNOWN"),
        ("DEADLINE_EXCEEDED", 504, "DEADLINE_EXCEEDED"),
        ("UNAVAILABLE", 503, "UNAVAILABLE"),
        ("RESOURCE_EXHAUSTED", 429, "RESOURCE_EXHAUSTED"),
        ("INVALID_ARGUMENT", 400, "INVALID_ARGUMENT"),
        ("INTERNAL", 500, "INTERNAL"),
        ("UNKNOWN", 500, "UNKNOWN"),
        ("nonsense", 400, "UNKNOWN"),
    ],
)
async def test_error_records(world: World, code: str | None, status: int, name: str) -> None:
    world.behave(failing("tfsimple1", TEXT, code))
    response = await world.gateway.rest.post(world.path, json=BODY, headers={"x-request-id": "theirs"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"error": f"tfsimple1 : {TEXT}"}
    assert response.headers.get_list("x-request-id") == ["theirs"]
    failed = await failure(world.gateway.inference.ModelInfer(request(1), metadata=world.metadata))
    assert (failed.code().name, failed.details()) == (name, f"tfsimple1 : {TEXT}")
    assert "x-request-id" in dict(failed.trailing_metadata())
    assert "x-seldon-request-key" in dict(failed.trailing_metadata())
    labels = {"pipeline": world.name, "method_type": "rest", "code": str(status)}
    assert world.gateway.metric("seldon_pipeline_infer_total", **labels) == 1


async def test_routes_of_models_are_single_values(world: World) -> None:
    routes = [("x-seldon-route", b":a_1:"), ("x-seldon-route", b":b_1:"), ("x-pipeline-version", b"4")]
    world.behave(lambda record: [Out(answer_of(record.value or b""), [*record.headers, *routes])])
    headers = {"x-seldon-route": ":sticky_1:", "x-forwarded-for": "1.1.1.1"}
    response = await world.gateway.rest.post(world.path, json=BODY, headers=headers)
    assert response.headers.get_list("x-seldon-route") == [":a_1:", ":b_1:"]
    assert response.headers["x-pipeline-version"] == "4"
    assert "x-forwarded-for" not in response.headers
    call = world.gateway.inference.ModelInfer(request(1), metadata=world.metadata)
    await call
    assert (await call.initial_metadata()).get_all("x-seldon-route") == [":a_1:", ":b_1:"]


async def test_unknown_and_wrongly_named(world: World) -> None:
    unknown = await world.gateway.rest.post("/v2/pipelines/nobody/infer", json=BODY)
    assert (unknown.status_code, "nobody" in unknown.json()["error"]) == (404, True)
    wrong = await world.gateway.rest.post(world.path, json=BODY, headers={"seldon-model": "a.experiment"})
    assert (wrong.status_code, "a.experiment" in wrong.json()["error"]) == (400, True)
    for metadata, code in (
        ([("seldon-model", "nobody.pipeline")], "NOT_FOUND"),
        ([("seldon-model", "a.experiment")], "FAILED_PRECONDITION"),
        ([], "FAILED_PRECONDITION"),
    ):
        failed = await failure(world.gateway.inference.ModelInfer(request(1), metadata=metadata))
        assert failed.code().name == code
    assert world.gateway.metric("seldon_pipeline_infer_total", pipeline="", method_type="grpc", code="NotFound") == 1


async def test_streams_are_refused_with_a_sentence(world: World) -> None:
    async def requests() -> Any:
        yield request(1)

    stream = world.gateway.inference.ModelStreamInfer(requests(), metadata=world.metadata)
    failed = await failure(stream.read())
    assert failed.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "ModelInfer" in (failed.details() or "")
    # Nor may a caller that waits for an answer before it says more wait for ever.
    waiting = world.gateway.inference.ModelStreamInfer(metadata=world.metadata)
    await waiting.write(request(1))
    failed = await failure(waiting.read())
    assert failed.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_deadlines(world: World) -> None:
    world.behave(silent)
    slow = await world.gateway.rest.post(world.path, json=BODY, headers={"x-seldon-timeout-ms": "1000"})
    assert slow.status_code == 504
    assert f"pipeline {world.name} gave no answer within 1000 ms" in slow.json()["error"]
    assert slow.headers["x-request-id"] in slow.json()["error"]
    bad = await world.gateway.rest.post(world.path, json=BODY, headers={"x-seldon-timeout-ms": "soon"})
    assert (bad.status_code, "x-seldon-timeout-ms" in bad.json()["error"]) == (400, True)
    failed = await failure(world.gateway.inference.ModelInfer(request(1), metadata=world.metadata, timeout=1))
    assert failed.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert world.gateway.metric("seldon_pipelinegateway_deadline_expiries_total") >= 1
    assert len(world.gateway.process.waiting) == 0


async def test_late_and_double_answers_are_dropped_and_counted(world: World) -> None:
    world.behave(lambda record: [*echo(record), *echo(record)])
    response = await world.gateway.rest.post(world.path, json=BODY)
    assert response.status_code == 200
    world.behave(silent)
    late = await world.gateway.rest.post(world.path, json=BODY, headers={"x-seldon-timeout-ms": "1000"})
    assert late.status_code == 504
    key = late.headers["x-seldon-request-key"].encode()
    await world.engine.write(Out(b"", key=key), partition=int(key.split(b".")[0]))
    world.behave(echo)
    # One more request on each partition: when they are answered, everything before them has been read.
    for _ in range(3):
        assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200
    assert world.gateway.metric("seldon_pipelinegateway_late_answers_total") == 2


async def test_one_request_id_for_fifty_at_once(world: World) -> None:
    async def ask(number: int) -> int:
        call = world.gateway.inference.ModelInfer(request(number), metadata=[*world.metadata, ("x-request-id", "same")])
        answer = await call
        return int(answer.outputs[0].contents.int_contents[0])

    assert await asyncio.gather(*(ask(number) for number in range(50))) == list(range(50))


async def test_too_large(world: World) -> None:
    tensor = {"name": "A", "datatype": "BYTES", "shape": [1], "data": ["a" * MESSAGE_MAX_BYTES]}
    response = await world.gateway.rest.post(world.path, json={"inputs": [tensor]})
    assert response.status_code == 413
    assert str(MESSAGE_MAX_BYTES) in response.json()["error"]
    huge = await world.gateway.rest.post(world.path, content=b" " * (MESSAGE_MAX_BYTES * 4 + 1))
    assert huge.status_code == 413
    assert str(MESSAGE_MAX_BYTES * 4 + 1) in huge.json()["error"]
    sent = oip.ModelInferRequest(raw_input_contents=[b"a" * MESSAGE_MAX_BYTES])
    sent.inputs.add(name="A", datatype="UINT8", shape=[MESSAGE_MAX_BYTES])
    failed = await failure(world.gateway.inference.ModelInfer(sent, metadata=world.metadata))
    assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert str(MESSAGE_MAX_BYTES) in (failed.details() or "")
    assert world.engine.seen.empty()


async def test_just_small_enough(world: World) -> None:
    size = MESSAGE_MAX_BYTES - 2_000
    sent = oip.ModelInferRequest(raw_input_contents=[b"a" * size])
    sent.inputs.add(name="A", datatype="UINT8", shape=[size])
    answer = await world.gateway.inference.ModelInfer(sent, metadata=world.metadata)
    assert len(answer.raw_output_contents[0]) == size


async def test_poison_on_the_outputs(world: World) -> None:
    for poison in (Out(b"\xff\xff", key=None), Out(b"x", key=b"0"), Out(b"x", key=b"\xff.\xff.\xff")):
        for partition in range(3):
            await world.engine.write(poison, partition)
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200
    for value in (b"\xff\xff", None):
        world.behave(lambda record, value=value: [Out(value)])  # type: ignore[misc]
        response = await world.gateway.rest.post(world.path, json=BODY)
        assert (response.status_code, "answer" in response.json()["error"]) == (500, True)
        failed = await failure(world.gateway.inference.ModelInfer(request(1), metadata=world.metadata))
        assert failed.code() is grpc.StatusCode.INTERNAL
    world.behave(echo)
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200


async def test_an_answer_of_another_pipeline_with_the_same_key_is_none(world: World) -> None:
    def elsewhere(record: Any) -> list[Out]:
        topic = world.config.topics.pipeline_outputs(f"{world.name}-next")
        return [Out(b"\xff", [(kafka.PIPELINE, b"next")], topic=topic), *echo(record)]

    await world.gateway.process._kafka.topics.ensure([world.config.topics.pipeline_outputs(f"{world.name}-next")])
    world.behave(elsewhere)
    assert (await world.gateway.rest.post(world.path, json=BODY)).status_code == 200
