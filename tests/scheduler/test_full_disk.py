"""A disk that takes nothing: nobody is instructed, readiness says why, and everything goes on when it takes writes."""

import asyncio
import json
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from mlops.scheduler import scheduler_pb2 as pb

from tests.scheduler.builders import model
from tests.scheduler.conftest import Running


def _block(folder: Path) -> sqlite3.Connection:
    """Refuses every write of a model, as a disk that is full or gone does."""
    intruder = sqlite3.connect(folder / "scheduler.db")
    intruder.execute("CREATE TRIGGER full BEFORE INSERT ON model BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
    intruder.commit()
    return intruder


async def _ready(scheduler: Running) -> tuple[int, dict[str, str]]:
    def ask() -> tuple[int, dict[str, str]]:
        address = f"http://{scheduler.settings.host}:{scheduler.settings.health_port}/ready"
        try:
            with urllib.request.urlopen(address) as answer:
                return answer.status, json.load(answer)["waiting_for"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["waiting_for"]

    return await asyncio.to_thread(ask)


async def test_a_full_disk_holds_back_instructions_until_it_takes_them(scheduler: Running, tmp_path: Path) -> None:
    await scheduler.add_envoy()
    agent = await scheduler.add_agent()
    intruder = _block(tmp_path)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await scheduler.load(model("iris"))
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "not on disk yet (disk is full)" in str(refused.value.details())
    assert await _ready(scheduler) == (503, {"store": "disk is full"})
    assert agent.history == []
    intruder.execute("DROP TRIGGER full")
    intruder.commit()
    intruder.close()
    await scheduler.until("iris", pb.ModelStatus.ModelAvailable)
    assert await _ready(scheduler) == (200, {})
