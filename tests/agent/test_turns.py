"""Turns that one which never ends does not keep, and threads that a cancellation does not leave behind."""

import asyncio
import threading

import pytest

from services.agent.models.turns import Turns
from shared.threads import to_its_end


async def test_who_takes_long_holds_up_nobody() -> None:
    turns = Turns(1, patience=0.0)
    async with turns.turn(), turns.turn():
        pass


async def test_a_turn_is_given_back_once() -> None:
    turns = Turns(1, patience=0.0)
    async with turns.turn(), turns.turn():
        pass
    patient = Turns(1, patience=3600.0)
    async with patient.turn():
        waiting = asyncio.create_task(_one_turn(patient))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting


async def _one_turn(turns: Turns) -> None:
    async with turns.turn():
        pass


async def test_a_cancelled_caller_waits_for_the_end_of_the_work() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        may_end.wait(60)
        ended.set()

    task = asyncio.create_task(to_its_end(work))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    asyncio.get_running_loop().call_later(0.01, may_end.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
