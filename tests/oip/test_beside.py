"""Large messages are worked on in another process; small ones, errors and deaths stay in their place."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from services.modelgateway.core.payloads import Poison, request_of
from services.pipelinegateway.rest_codec import decode
from shared.beside import LARGE, Beside
from shared.errors import InvalidInput, Unavailable


@pytest.fixture
async def beside() -> AsyncIterator[Beside]:
    made = Beside(processes=1)
    try:
        yield made
    finally:
        await made.close()


async def test_only_large_messages_go_elsewhere(beside: Beside) -> None:
    assert await beside.run(LARGE, os.getpid) == os.getpid()
    assert beside._pool is None
    assert await beside.run(LARGE + 1, os.getpid) != os.getpid()


async def test_others_go_on_meanwhile(beside: Beside) -> None:
    """The loop answers its own timers while the other process does nothing but wait to be stopped."""
    pid = await beside.run(LARGE + 1, os.getpid)
    stopped = asyncio.create_task(beside.run(LARGE + 1, signal.pause))
    for _ in range(3):
        await asyncio.sleep(0.01)
        assert not stopped.done()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match=f"the message of {LARGE + 1} bytes"):
        await stopped
    # The next one finds a process again.
    assert await beside.run(LARGE + 1, os.getpid) not in (os.getpid(), pid)


async def test_results_and_errors_come_back_as_they_are(beside: Beside) -> None:
    text = b'{"inputs": [{"name": "x", "datatype": "INT32", "shape": [1], "data": [5]}]}'
    body = text.replace(b" ", b" " * LARGE, 1)
    assert await beside.run(len(body), decode, body, None) == decode(text, None)
    with pytest.raises(InvalidInput, match="not JSON"):
        await beside.run(len(body), decode, body[:-1], None)
    with pytest.raises(Poison) as failed:
        await beside.run(len(body), request_of, body[:-1], "json/inferModelRequest")
    assert failed.value.kind == "json"
    assert "not JSON" in str(failed.value)


async def test_a_worker_leaves_interrupts_to_its_parent(beside: Beside) -> None:
    pid = await beside.run(LARGE + 1, os.getpid)
    os.kill(pid, signal.SIGINT)
    assert await beside.run(LARGE + 1, os.getpid) == pid
