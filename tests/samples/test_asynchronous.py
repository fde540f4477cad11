"""The example of asynchronous use, on a real broker with something that answers in place of the system."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from samples.asynchronous import ask, request
from shared.kafka.config import KafkaConfig
from shared.kafka.topics import TopicAdmin
from tests.peers.broker import Broker


@pytest.fixture
def address(broker: Broker) -> str:
    return broker.config.bootstrap_servers


@asynccontextmanager
async def answering(address: str, base: str) -> AsyncIterator[None]:
    """Doubles what is asked; a request without tensors is an error."""
    admin = TopicAdmin(KafkaConfig(address))
    await admin.start()
    await admin.ensure([f"{base}.inputs", f"{base}.outputs", "seldon.default.errors.errors"])
    await admin.stop()
    async with (
        AIOKafkaConsumer(bootstrap_servers=address) as consumer,
        AIOKafkaProducer(bootstrap_servers=address) as out,
    ):
        consumer.assign([TopicPartition(f"{base}.inputs", 0)])
        await consumer.seek_to_end()

        async def answer() -> None:
            async for record in consumer:
                tensors = ModelInferRequest.FromString(record.value).inputs
                headers = list(record.headers)
                response = ModelInferResponse()
                for tensor in tensors:
                    response.outputs.add(name=tensor.name, datatype="INT32", shape=tensor.shape)
                    response.raw_output_contents.append((2 * np.array(tensor.contents.int_contents, "<i4")).tobytes())
                value = response.SerializeToString() if tensors else b"it has no tensors"
                if not tensors:
                    headers.append(("seldon-pipeline-errors", b"step"))
                await_errors = not tensors and ".model." in base
                topic = "seldon.default.errors.errors" if await_errors else f"{base}.outputs"
                await out.send(topic, value, record.key, 0, headers=headers)

        task = asyncio.create_task(answer())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("kind", ["pipeline", "model"])
async def test_answers_and_errors_come_back_by_key(address: str, kind: str) -> None:
    async with answering(address, f"seldon.default.{kind}.double"):
        answers = [each async for each in ask(address, kind, "double", [request(), b""])]
    assert all(key.startswith("0.double.") for key, _ in answers)
    doubled = list(range(2, 34, 2))
    assert sorted(answer for _, answer in answers) == [
        f"INPUT0={doubled}  INPUT1={doubled}",
        "error: step : it has no tensors",
    ]
