"""gRPC through a real Envoy: the model's name is replaced inside the message, whatever the message looks like."""

import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from tests.envoy.conftest import World
from tests.peers import raw_grpc
from tests.peers.inference import FAIL_BOTH, FAIL_SERVER

pytestmark = pytest.mark.asyncio(loop_scope="session")
IRIS = (("seldon-model", "iris"),)
INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/inference.GRPCInferenceService/ModelStreamInfer"
NAMES = ("", "i", "iris", "x" * 126, "x" * 127, "x" * 128, "x" * 300, "x" * 20_000, "ä")


def request(name: str = "iris", raw: bytes = b"", **fields: Any) -> oip.ModelInferRequest:
    made = oip.ModelInferRequest(model_name=name, **fields)
    if raw:
        made.raw_input_contents.append(raw)
    return made


@pytest.mark.parametrize("version", ["", "1", "v" * 200])
@pytest.mark.parametrize("raw", [b"", b"tensor", b"x" * 300_000])
async def test_any_name_becomes_the_internal_one(world: World, version: str, raw: bytes) -> None:
    for name in NAMES:
        answer = await world.grpc.ModelInfer(request(name, raw, model_version=version, id="7"), metadata=IRIS)
        assert (answer.model_name, answer.model_version) == ("iris_1", "")
        assert answer.id == f"7|{len(raw)}|server"
        assert list(answer.raw_output_contents) == ([raw] if 0 < len(raw) < 1000 else [])


async def test_an_empty_message(world: World) -> None:
    answer = await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=IRIS)
    assert answer.model_name == "iris_1"


async def test_fifty_megabytes(world: World) -> None:
    answer = await world.grpc.ModelInfer(request(raw=b"x" * 50_000_000), metadata=IRIS)
    assert (answer.model_name, answer.id) == ("iris_1", "|50000000|server")


async def test_names_in_other_calls(world: World) -> None:
    metadata = await world.grpc.ModelMetadata(oip.ModelMetadataRequest(name="iris", version="3"), metadata=IRIS)
    assert (metadata.name, list(metadata.versions), metadata.platform) == ("iris_1", [""], "server")
    ready = await world.grpc.ModelReady(oip.ModelReadyRequest(name="iris"), metadata=IRIS)
    assert ready.ready
    assert (await world.grpc.ServerLive(oip.ServerLiveRequest(), metadata=IRIS)).live


async def test_what_could_change_a_server_is_refused(world: World) -> None:
    unload = oip.RepositoryModelUnloadRequest(model_name="iris_1")
    for call in (
        world.grpc.RepositoryModelUnload(unload, metadata=IRIS),
        world.grpc.RepositoryIndex(oip.RepositoryIndexRequest(), metadata=IRIS),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_unknown_model_and_no_model(world: World) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="no model or pipeline of this name is loaded") as caught:
        await world.grpc.ModelInfer(request(), metadata=(("seldon-model", "nope"),))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.aio.AioRpcError, match="names no model") as caught:
        await world.grpc.ModelInfer(request())
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """Random pieces; about half of them a byte or two."""
    pieces = []
    while data:
        size = chance.choice((1, 2, 3, 50, 5_000))
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@pytest.mark.parametrize("seed", range(6))
async def test_messages_cut_anywhere(world: World, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(6):
        name = chance.choice(NAMES[:-2])
        version = chance.choice(("", "1", "v" * 200))
        raw = chance.randbytes(chance.choice((0, 1, 130, 3_000)))
        sent = request(name, raw, model_version=version, id="7").SerializeToString()
        pieces = cut(raw_grpc.message(sent), chance)
        (answer,) = await raw_grpc.call(world.mesh.data_port, INFER, dict(IRIS), pieces)
        echoed = oip.ModelInferResponse.FromString(answer)
        assert (echoed.model_name, echoed.model_version, echoed.id) == ("iris_1", "", f"7|{len(raw)}|server")


@pytest.mark.parametrize("seed", range(6))
async def test_streams_cut_anywhere(world: World, seed: int) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice((0, 1, 130, 2_000)) for _ in range(8)]
    messages = [
        raw_grpc.message(request(chance.choice(NAMES[:-2]), b"x" * size, id=str(n)).SerializeToString())
        for n, size in enumerate(sizes)
    ]
    answers = await raw_grpc.call(world.mesh.data_port, STREAM, dict(IRIS), cut(b"".join(messages), chance))
    echoed = [oip.ModelInferResponse.FromString(answer) for answer in answers]
    assert [answer.model_name for answer in echoed] == ["iris_1"] * 8
    assert [answer.id for answer in echoed] == [f"{n}|{size}|server" for n, size in enumerate(sizes)]


async def test_a_message_without_a_name_field(world: World) -> None:
    only_id = oip.ModelInferRequest(id="7").SerializeToString()
    (answer,) = await raw_grpc.call(world.mesh.data_port, INFER, dict(IRIS), [raw_grpc.message(only_id)])
    assert oip.ModelInferResponse.FromString(answer).model_name == "iris_1"


async def test_a_bidirectional_stream_answers_as_it_goes(world: World) -> None:
    call: Any = world.grpc.ModelStreamInfer(metadata=IRIS)
    for number, size in enumerate((0, 10, 100_000)):
        await call.write(request("q" * number, b"x" * size, id=str(number)))
        answer = await call.read()
        assert (answer.model_name, answer.id) == ("iris_1", f"{number}|{size}|server")
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_a_compressed_message_goes_through_the_agent(world: World) -> None:
    async def requests() -> AsyncIterator[oip.ModelInferRequest]:
        yield request(raw=b"a" * 10_000)

    answer = await world.grpc.ModelInfer(request(raw=b"a" * 10_000), metadata=IRIS, compression=grpc.Compression.Gzip)
    assert answer.id == "|10000|agent"
    stream = world.grpc.ModelStreamInfer(requests(), metadata=IRIS, compression=grpc.Compression.Gzip)
    assert [answer.id async for answer in stream] == ["|10000|agent"]


async def test_a_route_header_that_fits_nothing_is_ignored(world: World) -> None:
    call = world.grpc.ModelInfer(request(), metadata=(*IRIS, ("x-seldon-route", ":other_7:")))
    assert (await call).model_name == "iris_1"
    headers = {**dict(await call.initial_metadata()), **dict(await call.trailing_metadata())}
    assert headers["x-seldon-route"] == ":iris_1:"
    assert headers["x-request-id"]


async def test_a_server_without_the_model_is_asked_through_its_agent(world: World) -> None:
    answer = await world.grpc.ModelInfer(request(raw=b"12345"), metadata=(*IRIS, (FAIL_SERVER, "NOT_FOUND")))
    assert (answer.model_name, answer.id) == ("iris_1", "|5|agent")


@pytest.mark.parametrize("code", ["NOT_FOUND", "INVALID_ARGUMENT", "INTERNAL", "UNAVAILABLE", "RESOURCE_EXHAUSTED"])
async def test_a_genuine_error_reaches_the_caller_as_it_is(world: World, code: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="was asked to fail") as caught:
        await world.grpc.ModelInfer(request(), metadata=(*IRIS, (FAIL_BOTH, code)))
    assert caught.value.code().name == code


async def test_a_server_that_is_down_is_asked_through_its_agent(world: World) -> None:
    for size in (5, 100_000):
        answer = await world.grpc.ModelInfer(request("cold", b"x" * size), metadata=(("seldon-model", "cold"),))
        assert (answer.model_name, answer.id) == ("cold_1", f"|{size}|agent")
