"""A whole gateway between a real broker, a scheduler and an inference server."""

import asyncio
import json
import struct
import time
from typing import Any

import pytest
from mlops.scheduler import scheduler_pb2 as pb
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.modelgateway.core import payloads
from services.modelgateway.outputs import Outputs
from shared.kafka import headers as kafka
from tests.modelgateway.conftest import MESSAGE_MAX_BYTES, PARTITIONS, Gateway, World, gateway_in
from tests.modelgateway.model_server import Call, echo, gated


def request(name: str = "r", data: bytes = b"\1\0\0\0") -> bytes:
    made = ModelInferRequest(id=name, raw_input_contents=[data])
    made.inputs.add(name="x", datatype="INT32", shape=[len(data) // 4])
    return made.SerializeToString()


async def test_a_request_becomes_a_call_and_its_reply_an_output(world: World, gateway: Gateway, model: str) -> None:
    sent = [
        ("pipeline", b"p"),
        ("x-request-id", b"abc"),
        ("x-seldon-route", b":other_1:"),
        ("x-trailer", b"t"),
        ("X-Upper", b"u"),
        ("x-not-ascii", "ä".encode()),
        ("x-data-bin", b"\xff\0"),
        ("traceparent", b"00-1-2-03"),
        ("seldon-batch", b"\xff"),
        ("other", b"o"),
    ]
    await world.send(model, "a", request("a"), sent, partition=2)
    (record,) = await world.answered("a")
    assert (record.topic, record.partition) == (world.clients.config.topics.model_outputs(model), 2)
    assert record.key == f"2.{model}.a".encode()
    assert list(record.headers) == [*sent, ("x-seldon-route", f":{model}_1:".encode())]
    response = ModelInferResponse.FromString(record.value or b"")
    assert (response.id, response.model_name, list(response.raw_output_contents)) == ("a", f"{model}_1", [b"\1\0\0\0"])
    (call,) = world.server.calls[model]
    passed = [header for header in call.metadata if header[0] != "user-agent"]
    assert sorted(passed) == [
        ("seldon-model", model),
        ("traceparent", "00-1-2-03"),
        ("x-data-bin", b"\xff\0"),
        ("x-request-id", "abc"),
        ("x-trailer", "t"),
        ("x-upper", "u"),
    ]
    assert gateway.metric("calls_total", model=model, code="OK") == 1
    assert gateway.metric("wait_seconds_count", model=model) == 1


async def test_a_record_with_nothing_but_a_value_is_answered(world: World, gateway: Gateway, model: str) -> None:
    await world.send(model, None, request("bare"), partition=1)
    (record,) = await world.answered("")
    assert (record.key, record.partition) == (None, 1)
    assert ModelInferResponse.FromString(record.value or b"").id == "bare"


async def test_a_models_error_is_an_error_record(world: World, gateway: Gateway, model: str) -> None:
    async def refuse(call: Call) -> None:
        await call.fail("INVALID_ARGUMENT", "unexpected shape: ü")

    world.server.behaviours[model] = refuse
    await world.send(model, "a", request(), [("pipeline", b"p"), (kafka.ERROR, b"old")], partition=1)
    (record,) = await world.answered("a")
    assert world.is_error(record)
    assert record.partition == 1
    assert record.value == "rpc error: code = InvalidArgument desc = unexpected shape: ü".encode()
    assert list(record.headers) == [
        ("pipeline", b"p"),
        (kafka.ERROR, model.encode()),
        (kafka.ERROR_CODE, b"INVALID_ARGUMENT"),
    ]
    assert gateway.metric("calls_total", model=model, code="INVALID_ARGUMENT") == 1


POISON: list[tuple[bytes | None, list[tuple[str, bytes]], str]] = [
    (None, [], "no value"),
    (b"garbage", [], "is no ModelInferRequest or ModelInferResponse"),
    (b"\xff\xff\xff", [], "is no ModelInferRequest or ModelInferResponse"),
    (b"[1]", [], "invalid request [1]"),
    (b'{"inputs"', [], "not JSON"),
    (b'{"inputs": [{"name": "x", "datatype": "INT32", "shape": [2], "data": [1]}]}', [], "has 1 elements"),
    (b" nonsense", [], "is no ModelInferRequest"),
    (request(), [("seldon-infer-type", b"yaml/\xff")], "invalid seldon-infer-type"),
    (b"{}", [("seldon-infer-type", b"proto/InferModelRequest")], "is no ModelInferRequest"),
    (b"\x0a", [("seldon-infer-type", b"json/inferModelRequest")], "not JSON"),
]


async def test_poison_becomes_errors_and_everything_else_flows(world: World, gateway: Gateway, model: str) -> None:
    for number, (value, headers, _) in enumerate(POISON):
        await world.send(model, f"bad{number}", value, headers)
        await world.send(model, f"good{number}", request(f"good{number}"))
    for number, (_, _, sentence) in enumerate(POISON):
        (error,) = await world.answered(f"bad{number}")
        text = (error.value or b"").decode()
        assert world.is_error(error)
        assert text.startswith("rpc error: code = InvalidArgument desc = ")
        assert sentence in text
        (good,) = await world.answered(f"good{number}")
        assert not world.is_error(good)
    assert len(world.server.calls[model]) == len(POISON)
    assert gateway.metric("poison_records_total", model=model, kind="json") == 4


async def test_producers_may_use_any_encoding(world: World, gateway: Gateway, model: str) -> None:
    response = ModelInferResponse(model_name="iris_1", id="response", raw_output_contents=[b"\1\0\0\0"])
    response.outputs.add(name="y", datatype="INT32", shape=[1])
    values = {
        "json": b'\n {"id": "json", "inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}]}',
        "reply": b'{"id": "reply", "outputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [1]}]}',
        "framed": b"\0\0\0\0\x07\0" + request("framed"),
        "response": response.SerializeToString(),
    }
    for name, value in values.items():
        await world.send(model, name, value)
    for name in values:
        (record,) = await world.answered(name)
        assert not world.is_error(record), record.value
        assert ModelInferResponse.FromString(record.value or b"").id == name


async def test_a_slow_model_holds_up_no_other(world: World, gateway: Gateway, model: str) -> None:
    slow = f"{model}-slow"
    await world.watch(slow)
    await world.scheduler.create("one", slow)
    world.server.behaviours[slow], gate = gated()
    count = 300  # more than may be called and queued at a time
    for number in range(count):
        await world.send(slow, f"slow{number}", request())
    for number in range(50):
        await world.send(model, f"fast{number}", request())
        await world.answered(f"fast{number}")
    assert not any(world.answers[f"slow{number}"] for number in range(count))
    assert world.server.busiest[slow] == 64
    assert gateway.metric("paused", model=slow) == 1
    gate.set()
    for number in range(count):
        await world.answered(f"slow{number}")
    assert gateway.metric("paused", model=slow) == 0


async def test_records_of_one_key_keep_their_order(world: World, gateway: Gateway, model: str) -> None:
    first: asyncio.Event = asyncio.Event()

    async def first_is_slow(call: Call) -> ModelInferResponse:
        if call.request.id == "k0":
            await first.wait()
        return await echo(call)

    world.server.behaviours[model] = first_is_slow
    for number in range(5):
        await world.send(model, "k", request(f"k{number}"))
    await world.send(model, "other", request("other"))
    await world.answered("other")
    assert [call.request.id for call in world.server.calls[model]] == ["k0", "other"]
    first.set()
    records = await world.answered("k", times=5)
    assert [ModelInferResponse.FromString(record.value or b"").id for record in records] == [f"k{n}" for n in range(5)]


async def test_calls_are_repeated_while_the_model_is_not_there(world: World, gateway: Gateway, model: str) -> None:
    async def absent_twice(call: Call) -> Any:
        if len(world.server.calls[model]) <= 2:
            await call.fail("UNAVAILABLE", "no healthy upstream")
        return await echo(call)

    world.server.behaviours[model] = absent_twice
    await world.send(model, "a", request())
    (record,) = await world.answered("a")
    assert not world.is_error(record)
    assert gateway.metric("call_retries_total", model=model) == 2


async def test_callers_are_told_when_it_was_not_the_models_fault(world: World, model: str) -> None:
    async def absent(call: Call) -> None:
        await call.fail("UNAVAILABLE", "no healthy upstream")

    world.server.behaviours[model] = absent
    await world.watch(model)
    async with gateway_in(world, worker_timeout_ms=1000):
        await world.scheduler.create("one", model)
        await world.send(model, "a", request())
        (record,) = await world.answered("a")
    assert kafka.text(record.headers, kafka.ERROR_CODE) == "UNAVAILABLE"
    assert record.value == b"rpc error: code = Unavailable desc = no healthy upstream"


async def test_nothing_is_called_after_the_deadline(world: World, gateway: Gateway, model: str) -> None:
    now = int(time.time() * 1000)
    await world.send(model, "late", request(), [(kafka.DEADLINE, str(now - 1).encode())])
    await world.send(model, "odd", request(), [(kafka.DEADLINE, b"soon")])
    (record,) = await world.answered("late")
    assert kafka.text(record.headers, kafka.ERROR_CODE) == "DEADLINE_EXCEEDED"
    assert (record.value or b"").startswith(b"rpc error: code = DeadlineExceeded desc = the request's deadline passed")
    assert not world.is_error((await world.answered("odd"))[0])
    assert len(world.server.calls[model]) == 1


async def test_a_call_ends_at_the_deadline(world: World, gateway: Gateway, model: str) -> None:
    world.server.behaviours[model], gate = gated()
    soon = int(time.time() * 1000) + 2000
    await world.send(model, "a", request(), [(kafka.DEADLINE, str(soon).encode())])
    (record,) = await world.answered("a")
    assert kafka.text(record.headers, kafka.ERROR_CODE) == "DEADLINE_EXCEEDED"
    assert (record.value or b"").endswith(f"desc = {model} gave no answer in time".encode())
    gate.set()


async def test_a_reply_too_large_for_its_topic_is_an_error(world: World, gateway: Gateway, model: str) -> None:
    async def large(call: Call) -> ModelInferResponse:
        return ModelInferResponse(raw_output_contents=[bytes(MESSAGE_MAX_BYTES)])

    world.server.behaviours[model] = large
    await world.send(model, "a", request())
    (record,) = await world.answered("a")
    assert kafka.text(record.headers, kafka.ERROR_CODE) == "RESOURCE_EXHAUSTED"
    text = (record.value or b"").decode()
    assert str(MESSAGE_MAX_BYTES) in text
    assert str(MESSAGE_MAX_BYTES + 4) in text


async def test_an_empty_reply_is_passed_on(world: World, gateway: Gateway, model: str) -> None:
    async def nothing(call: Call) -> ModelInferResponse:
        return ModelInferResponse()

    world.server.behaviours[model] = nothing
    await world.send(model, "a", request())
    (record,) = await world.answered("a")
    assert record.value in (b"", None)
    assert not world.is_error(record)


async def test_reports_say_what_was_done(world: World, gateway: Gateway, model: str) -> None:
    again = await world.scheduler.create("one", model, version=2)
    assert (again.success, again.reason) == (True, f"Model consumer {model} already exists")
    assert (again.update.op, again.update.version, again.update.model) == (pb.ModelUpdateMessage.Create, 2, model)
    deleted = await world.scheduler.delete("one", model)
    assert (deleted.success, deleted.reason) == (True, f"Model {model} removed")
    assert deleted.update.op == pb.ModelUpdateMessage.Delete
    absent = await world.scheduler.delete("one", model)
    assert (absent.success, absent.reason) == (True, f"Model {model} removed")
    added = await world.scheduler.create("one", model)
    assert (added.success, added.reason) == (True, f"Model {model} added")


@pytest.mark.parametrize(("clean", "keep"), [(True, False), (True, True), (False, False)])
async def test_topics_go_only_when_that_is_asked_for(
    world: World, gateway: Gateway, model: str, clean: bool, keep: bool
) -> None:
    names = world.clients.config.topics
    topics = [names.model_inputs(model), names.model_outputs(model)]
    world.clients.reader.remove([each for each in world.clients.reader.partitions if each.topic in topics])
    before = await world.clients.topics.partitions([*topics, names.errors])
    await world.scheduler.delete("one", model, clean=clean, keep_topics=keep)
    after = await world.clients.topics.partitions(before)
    # Tansu makes a topic anew, with four partitions, when a client that knew it asks where it is.
    left = {topic for topic, partitions in after.items() if partitions == before[topic]}
    assert left == ({names.errors} if clean and not keep else {*topics, names.errors})


async def test_reading_goes_on_where_it_ended(world: World, gateway: Gateway, model: str) -> None:
    for number in range(10):
        await world.send(model, f"a{number}", request(), partition=number % 3)
    for number in range(10):
        await world.answered(f"a{number}")
    await world.scheduler.delete("one", model)
    await world.send(model, "b", request(), partition=1)
    await world.scheduler.create("one", model)
    await world.answered("b")
    assert len(world.server.calls[model]) == 11


async def test_a_deletion_lets_calls_end(world: World, gateway: Gateway, model: str) -> None:
    world.server.behaviours[model], gate = gated()
    await world.send(model, "a", request())
    await world.server.called(model)
    deletion = asyncio.create_task(world.scheduler.delete("one", model))
    await world.send(model, "b", request())
    gate.set()
    assert (await deletion).success
    await world.answered("a")
    await world.scheduler.create("one", model)
    await world.answered("b")
    assert len(world.server.calls[model]) == 2


async def test_owners_share_partitions_and_hand_them_over(world: World, gateway: Gateway, model: str) -> None:
    async with gateway_in(world, "two") as other:
        for number in range(30):
            await world.send(model, f"a{number}", request(), partition=number % 3)
        both = ("one", "two")
        # The one that loses a partition reports before the other starts.
        assert (await world.scheduler.create("one", model, both)).reason == f"Model {model} added"
        await world.scheduler.create("two", model, both)
        for number in range(30, 60):
            await world.send(model, f"a{number}", request(), partition=number % 3)
        for number in range(60):
            await world.answered(f"a{number}")
        assert len(world.server.calls[model]) == 60
        assert gateway.metric("calls_total", model=model, code="OK") >= 20
        assert other.metric("calls_total", model=model, code="OK") >= 10


async def test_a_server_that_cannot_write_typed_contents_is_asked_in_raw_ones(
    world: World, gateway: Gateway, model: str
) -> None:
    async def half(call: Call) -> ModelInferResponse:
        # As MLServer does: it answers in the form that it was asked in, and fails over half-precision numbers.
        if not call.request.raw_input_contents:
            await call.fail("INTERNAL", "expected bytes, float found")
        answer = ModelInferResponse(raw_output_contents=[b"\x00\x34"])
        answer.outputs.add(name="half", datatype="FP16", shape=[1])
        return answer

    world.server.behaviours[model] = half
    typed = ModelInferRequest(id="r", model_version="7")
    typed.inputs.add(name="x", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1.0, -2.5])
    typed.inputs.add(name="s", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"hi")
    for name in ("a", "b"):
        await world.send(model, name, typed.SerializeToString())
        (record,) = await world.answered(name)
        assert ModelInferResponse.FromString(record.value or b"").raw_output_contents == [b"\x00\x34"]
    first, again, second = (call.request for call in world.server.calls[model])
    assert first == typed
    assert again == second
    assert list(again.raw_input_contents) == [struct.pack("<2f", 1.0, -2.5), b"\x02\0\0\0hi"]
    assert (again.id, again.model_version) == ("r", "7")
    assert not any(tensor.HasField("contents") for tensor in again.inputs)
    # Without inputs there is nothing to ask in another form.
    await world.send(model, "c", ModelInferRequest().SerializeToString())
    (failed,) = await world.answered("c")
    assert world.is_error(failed)
    assert dict(failed.headers)[kafka.ERROR_CODE] == b"INTERNAL"


async def test_json_is_answered_in_json(world: World, gateway: Gateway, model: str) -> None:
    body = b'{"id": "j", "%s": [{"name": "x", "datatype": "BYTES", "shape": [1], "data": ["\xc3\xbc"]}]}'
    for name, field, infer_type in (
        ("a", b"inputs", b"json/inferModelRequest"),
        ("b", b"outputs", b"json/inferModelResponse"),
        ("c", b"inputs", b"JSON/InferModelRequest"),
    ):
        await world.send(model, name, body % field, [(kafka.INFER_TYPE, infer_type), ("x-a", b"1")])
        (record,) = await world.answered(name)
        answer = json.loads(record.value or b"")
        assert (answer["id"], answer["model_name"]) == ("j", f"{model}_1")
        assert answer["outputs"][0]["data"] == ["\xfc"]
        headers = dict(record.headers)
        assert (headers[kafka.INFER_TYPE], headers["x-a"]) == (b"json/inferModelResponse", b"1")
    # Who does not say that it is JSON gets what everybody gets.
    await world.send(model, "d", body % b"inputs")
    (record,) = await world.answered("d")
    assert ModelInferResponse.FromString(record.value or b"").id == "j"


async def test_a_record_whose_work_breaks_holds_nobody_up(
    world: World, gateway: Gateway, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = RuntimeError("nobody thought of this")
    write = Outputs.write

    async def breaks_once(*arguments: Any) -> None:
        monkeypatch.setattr(Outputs, "write", write)
        raise broken

    monkeypatch.setattr(Outputs, "write", breaks_once)
    await world.send(model, "a", request())
    (failed,) = await world.answered("a")
    assert world.is_error(failed)
    assert repr(broken) in (failed.value or b"").decode()
    await world.send(model, "b", request())
    await world.answered("b")
    assert gateway.metric("unforeseen_failures_total", model=model) == 1
    # All of it is done, so that nothing is read again.
    await world.scheduler.delete("one", model)
    await world.scheduler.create("one", model)
    await world.send(model, "c", request())
    await world.answered("c")
    assert len(world.server.calls[model]) == 3


async def test_an_outcome_that_cannot_be_written_at_all_holds_nobody_up(
    world: World, gateway: Gateway, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Outputs.write

    async def breaks(*arguments: Any) -> None:
        if arguments[2].key.endswith(b".a"):
            raise RuntimeError("nobody thought of this")
        await write(*arguments)

    monkeypatch.setattr(Outputs, "write", breaks)
    await world.send(model, "a", request())
    await world.send(model, "b", request())
    await world.answered("b")
    assert gateway.metric("unforeseen_failures_total", model=model) == 2
    await world.scheduler.delete("one", model)
    await world.scheduler.create("one", model)
    await world.send(model, "c", request())
    await world.answered("c")
    assert len(world.server.calls[model]) == 3


async def test_headers_without_a_value_harm_nobody(world: World, gateway: Gateway, model: str) -> None:
    empty: Any = [(name, None) for name in ("x-nothing", "x-request-id", "traceparent", "seldon-infer-type")]
    await world.send(model, "a", request(), empty)
    (record,) = await world.answered("a")
    assert not world.is_error(record)
    await world.send(model, "b", b"no request", empty)
    (failed,) = await world.answered("b")
    assert world.is_error(failed)


async def test_all_models_together_hold_so_much_and_one_that_hangs_stops_itself(world: World, model: str) -> None:
    slow, quick = f"{model}-slow", f"{model}-quick"
    world.server.behaviours[slow], gate = gated()
    for each in (slow, quick):
        await world.watch(each)
    large = request(data=bytes(10_000))
    async with gateway_in(world, max_held_bytes=25_000) as gateway:
        for each in (slow, quick):
            await world.scheduler.create("one", each)
        for number in range(12):
            await world.send(slow, f"s{number}", large, partition=number % PARTITIONS)
            # Some are read alone, so that the bound is met before all of them have come.
            if number < 3:
                await world.server.called(slow, number + 1)
        assert gateway.metric("held_bytes") >= 25_000
        assert gateway.metric("paused", model=slow) == 1
        assert len(world.server.calls[slow]) < 12
        for number in range(5):
            await world.send(quick, f"q{number}", large)
            await world.answered(f"q{number}")
        assert len(world.server.calls[slow]) < 12
        gate.set()
        for number in range(12):
            await world.answered(f"s{number}")
        await world.scheduler.delete("one", slow)
        assert gateway.metric("held_bytes") == 0


async def test_large_messages_pass_and_are_read_elsewhere(
    world: World, gateway: Gateway, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payloads, "ModelInferRequest", "to be read in another process")
    await world.send(model, "a", request("a", bytes(MESSAGE_MAX_BYTES - 1000)))
    (record,) = await world.answered("a")
    assert not world.is_error(record)
    assert len(record.value or b"") > MESSAGE_MAX_BYTES - 1000
