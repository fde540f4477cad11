"""Asks a pipeline or a model of the `tfsimple` samples through Kafka alone: input topic, output topic.

python samples/asynchronous.py pipeline tfsimples
python samples/asynchronous.py model tfsimple1 --requests 5
"""

import argparse
import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Sequence

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

BROKER = os.environ.get("SELDON_KAFKA_BROKER", "127.0.0.1:9092")
TOPICS = "seldon.default"
ERROR_HEADER = "seldon-pipeline-errors"
PARTITION = 0


def request() -> bytes:
    """What every `tfsimple` sample takes."""
    message = ModelInferRequest()
    for name in ("INPUT0", "INPUT1"):
        tensor = message.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        tensor.contents.int_contents.extend(range(1, 17))
    return message.SerializeToString()


def outputs(value: bytes) -> dict[str, list[int]]:
    """Triton answers with raw bytes, in the order of the tensors."""
    message = ModelInferResponse.FromString(value)
    tensors = zip(message.outputs, message.raw_output_contents, strict=True)
    return {tensor.name: np.frombuffer(raw, "<i4").tolist() for tensor, raw in tensors}


async def ask(broker: str, kind: str, name: str, values: Sequence[bytes]) -> AsyncIterator[tuple[str, str]]:
    """Key and answer, or error, of each request, in the order in which they come."""
    inputs, answers, errors = (
        f"{TOPICS}.{kind}.{name}.inputs",
        f"{TOPICS}.{kind}.{name}.outputs",
        f"{TOPICS}.errors.errors",
    )
    # The first part of a key is the partition that all records of the request stay in.
    keys = [f"{PARTITION}.{name}.{uuid.uuid4().hex}".encode() for _ in values]
    async with (
        AIOKafkaConsumer(bootstrap_servers=broker) as consumer,
        AIOKafkaProducer(bootstrap_servers=broker) as producer,
    ):
        # A pipeline writes errors among its answers, a model to a topic that all models share.
        topics = [answers] if kind == "pipeline" else [answers, errors]
        consumer.assign([TopicPartition(topic, PARTITION) for topic in topics])
        # Before anything is produced, so that no answer can be missed.
        await consumer.seek_to_end()
        for key, value in zip(keys, values, strict=True):
            # Topics of a model are shared: this header says whose record it is.
            await producer.send(inputs, value, key, PARTITION, headers=[("pipeline", name.encode())])
        await producer.flush()
        waiting = set(keys)
        while waiting:
            record = await consumer.getone()
            if record.key in waiting:
                waiting.remove(record.key)
                yield record.key.decode(), answer_of(record)


def answer_of(record: ConsumerRecord[bytes, bytes]) -> str:
    failed = dict(record.headers).get(ERROR_HEADER)
    if failed is not None:
        return f"error: {failed.decode()} : {record.value.decode()}"
    return "  ".join(f"{name}={data}" for name, data in outputs(record.value).items())


async def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a tfsimple sample through Kafka.")
    parser.add_argument("kind", choices=["pipeline", "model"])
    parser.add_argument("name", help="a loaded pipeline or model, such as tfsimples or tfsimple1")
    parser.add_argument("--requests", type=int, default=1, metavar="COUNT")
    parser.add_argument("--seconds", type=float, default=30, help="how long to wait for all answers")
    options = parser.parse_args()
    try:
        async with asyncio.timeout(options.seconds):
            async for key, answer in ask(BROKER, options.kind, options.name, [request()] * options.requests):
                print(f"{key}  {answer}")
    except TimeoutError:
        raise SystemExit(f"no answer within {options.seconds:g} s: is {options.kind} {options.name} ready?") from None


if __name__ == "__main__":
    asyncio.run(main())
