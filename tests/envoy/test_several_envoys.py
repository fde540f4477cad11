"""Any number of Envoys may ask one scheduler: each has every route before a model counts as available."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from tests.envoy.conftest import World
from tests.peers.ports import free_port
from tests.scheduler.builders import model

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _answers(world: World, port: int, name: str) -> int:
    return (await world.http.get(f"http://127.0.0.1:{port}/v2/models/{name}")).status_code


async def test_two_envoys_follow_one_scheduler(world: World, tmp_path: Path) -> None:
    second = replace(world.mesh, folder=tmp_path, data_port=free_port(), stats_port=free_port(), admin_port=free_port())
    await second.start_envoy()
    envoy = second.envoy
    assert envoy is not None
    try:
        assert await world.metric("seldon_scheduler_envoys_connected") == 2
        await world.load(model("several", requirements=("sklearn",)))
        ports = (world.mesh.data_port, second.data_port)
        assert [await _answers(world, port, "several") for port in ports] == [200, 200]
        await world.unload("several")
        assert [await _answers(world, port, "several") for port in ports] == [404, 404]
    finally:
        envoy.kill()
        await envoy.wait()
    # One Envoy less holds up nobody.
    async with asyncio.timeout(20):
        await world.load(model("after", requirements=("sklearn",)))
    assert await _answers(world, world.mesh.data_port, "after") == 200
    await world.unload("after")
