"""A model that the server cannot load is told so with its reason, can be unloaded, and harms no other."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from mlops.agent import agent_pb2

from tests.agent.artifacts import definition, triton_double
from tests.agent.calls import infer
from tests.agent.conftest import MakeAgent, SchedulerPeer, Server

Event = agent_pb2.ModelEventMessage
Spoil = Callable[[Path], object]

_HANGS = """

    def initialize(self, args):
        import time
        while not __import__("os").path.exists({release!r}):
            time.sleep(0.1)
"""


def triton_model(folder: Path, name: str, spoil: Spoil = lambda _: None) -> agent_pb2.ModelVersion:
    spoil(triton_double(folder / name))
    return definition(name, str(folder / name), "triton")


def misspelt(model: Path) -> None:
    (model / "1" / "model.py").rename(model / "1" / "modle.py")


def minus_one(model: Path) -> None:
    (model / "1").rename(model / "-1")


def hangs_until(release: Path) -> Spoil:
    """Its `initialize` returns when the file `release` is there."""

    def spoil(model: Path) -> None:
        file = model / "1" / "model.py"
        file.write_text(file.read_text() + _HANGS.format(release=str(release)))

    return spoil


async def outcomes(scheduler: SchedulerPeer, count: int) -> dict[str, agent_pb2.ModelEventMessage]:
    events = [await scheduler.event() for _ in range(count)]
    return {event.modelName: event for event in events}


async def test_triton_models_without_their_file_fail_at_once_and_harm_no_other(
    triton: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    await make_agent(triton).start()
    bad = [triton_model(tmp_path, f"bad{number}", misspelt if number % 2 else minus_one) for number in range(8)]
    for model in bad:
        await scheduler.load(model)
    failed = await outcomes(scheduler, len(bad))
    assert {event.event for event in failed.values()} == {Event.LOAD_FAILED}
    assert "no model.py, which backend 'python' needs: found 1/modle.py" in failed["bad1"].message
    assert "found -1/model.py; name a version folder by a number above 0" in failed["bad0"].message

    good = triton_model(tmp_path, "good")
    await scheduler.load(good)
    assert (await scheduler.event()).event == Event.LOADED
    for model in [*bad, good]:
        await scheduler.unload(model)
    gone = await outcomes(scheduler, len(bad) + 1)
    assert {event.event for event in gone.values()} == {Event.UNLOADED}
    assert not any((triton.agent_folder / "models").iterdir())


async def test_models_that_hang_in_the_server_are_given_up_and_hold_up_no_other(
    triton: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    await make_agent(triton, server_load_timeout_seconds="600").start()
    release = tmp_path / "release"
    try:
        hanging = [triton_model(tmp_path, f"hang{number}", hangs_until(release)) for number in range(9)]
        for model in hanging:
            await scheduler.load(model)
        await scheduler.load(triton_model(tmp_path, "good"))
        event = await scheduler.event()
        assert (event.modelName, event.event) == ("good", Event.LOADED)

        for model in hanging:
            await scheduler.unload(model)
        gone = await outcomes(scheduler, len(hanging))
        assert {event.event for event in gone.values()} == {Event.UNLOADED}
        # One that was given up may be asked for again.
        release.touch()
        await scheduler.load(hanging[0])
        event = await scheduler.event()
        assert (event.modelName, event.event) == ("hang0", Event.LOADED)
    finally:
        release.touch()


async def test_a_load_has_a_deadline_of_its_own(
    triton: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    await make_agent(triton, server_load_timeout_seconds="1").start()
    release = tmp_path / "release"
    try:
        await scheduler.load(triton_model(tmp_path, "hang", hangs_until(release)))
        event = await scheduler.event()
        assert event.event == Event.LOAD_FAILED
        assert event.message == "triton did not load hang_1 within 1 s"
    finally:
        release.touch()


async def test_a_restarted_server_serves_the_good_models_beside_those_that_hang(
    triton: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    agent = make_agent(triton, cold_wait_seconds="120")
    await agent.start()
    release = tmp_path / "release"
    release.touch()
    hanging = [triton_model(tmp_path, f"a-hang{number}", hangs_until(release)) for number in range(5)]
    for model in [*hanging, triton_model(tmp_path, "z-good")]:
        await scheduler.load(model)
        assert (await scheduler.event()).event == Event.LOADED
    triton.kill()
    release.unlink()
    try:
        await asyncio.to_thread(triton.start)
        status, answer, _ = await infer(agent.url, "any", seldon_model="z-good")
        assert (status, answer["model_name"]) == (200, "z-good_1")
        await scheduler.load(triton_model(tmp_path, "other"))
        event = await scheduler.event()
        assert (event.modelName, event.event) == ("other", Event.LOADED)
    finally:
        release.touch()
    # All of them end at once now, and the server lives on.
    for model in hanging:
        await scheduler.unload(model)
    gone = await outcomes(scheduler, len(hanging))
    assert {event.event for event in gone.values()} == {Event.UNLOADED}


@pytest.mark.parametrize("when", ["at its first load", "after a restart of the server"])
async def test_an_unload_does_not_wait_for_a_load_that_hangs(
    when: str, triton: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Path
) -> None:
    await make_agent(triton).start()
    release = tmp_path / "release"
    model = triton_model(tmp_path, "hang", hangs_until(release))
    try:
        if when == "after a restart of the server":
            release.touch()
            await scheduler.load(model)
            assert (await scheduler.event()).event == Event.LOADED
            triton.kill()
            release.unlink()
            await asyncio.to_thread(triton.start)
        else:
            await scheduler.load(model)
        await scheduler.unload(model)
        assert (await scheduler.event()).event == Event.UNLOADED
    finally:
        release.touch()
