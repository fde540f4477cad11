"""Bare loops as processes."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from shared.kafka.config import KafkaConfig


@dataclass(frozen=True, slots=True)
class ModelCall:
    """An inference call by the loop, straight to the server."""

    address: str
    model: str


@contextlib.asynccontextmanager
async def bare_loop(
    config: KafkaConfig, routes: Mapping[str, str], call: ModelCall | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """One loop from topic to topic, reading from the end of each; all topics have to exist."""
    pairs = ",".join(f"{source}:{sink}" for source, sink in routes.items())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.bare_loop",
        config.bootstrap_servers, str(config.fetch_wait_ms), pairs, *([call.address, call.model] if call else []),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        process.kill()
        await process.wait()
