"""A real Kafka broker of a test's own: Tansu, or Apache Kafka when the environment says KAFKA=apache."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Literal, TypeAlias

from compose.kafka import brokers
from compose.process.home import Home
from shared.kafka.config import KafkaConfig
from tests.peers.ports import free_ports

Kind: TypeAlias = Literal["tansu", "apache"]
_READY_SECONDS = 60.0
_LOOK_SECONDS = 0.02
# Small, so that tests may send longer records than are allowed.
MESSAGE_MAX_BYTES = 20_000_000


def kind_for_tests() -> Kind:
    """From KAFKA, as everywhere."""
    return "apache" if os.environ.get("KAFKA") == "apache" else "tansu"


class Broker:
    """A process that can be killed and started again at the same address; Apache Kafka then has its records still."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind = kind
        self._folder = folder
        self._port, controller = free_ports(2)
        address = brokers.Address("127.0.0.1", "127.0.0.1", self._port)
        self._apache = brokers.Apache(
            environment=Home.of(os.environ).venvs / "kafka",
            config=folder / "server.properties",
            data=folder / "data",
            address=address,
            controller_port=controller,
            message_max_bytes=MESSAGE_MAX_BYTES,
            heap=512,
        )
        self._command = brokers.tansu(Path(sys.prefix), address) if kind == "tansu" else self._apache.command()
        self._process: subprocess.Popen[bytes] | None = None
        # Tansu does not wake a fetch that waits when a record comes.
        wait = 5 if kind == "tansu" else 500
        self.config = KafkaConfig(f"127.0.0.1:{self._port}", message_max_bytes=MESSAGE_MAX_BYTES, fetch_wait_ms=wait)

    def start(self) -> None:
        """Returns when it answers."""
        if self.kind == "apache":
            self._apache.prepare()
        log = self._folder / "broker.log"
        with log.open("ab") as output:
            # Tansu takes settings from an .env of its folder or of one above, and ours are not for it.
            self._process = subprocess.Popen(self._command, cwd="/", stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + _READY_SECONDS
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.kind} does not start: {log.read_text()[-2000:]}")
            time.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        """At once, as a crash would; returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.kill()
        self.start()


@contextmanager
def running(kind: Kind) -> Iterator[Broker]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        broker = Broker(kind, Path(folder))
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


@asynccontextmanager
async def broker(kind: Kind) -> AsyncIterator[Broker]:
    """The same without holding up the event loop while it starts."""
    context = running(kind)
    started = await asyncio.to_thread(context.__enter__)
    try:
        yield started
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False
