"""An Envoy that hangs, and one that starts and ends all the time, hold up nobody but themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.cache import Versioned, versioned
from services.scheduler.core.envoy.resources import SCOPE, ResourceKey
from services.scheduler.envoy.server import SERVICE, Patience, XdsServer
from services.scheduler.metrics import XDS_LATE
from shared import rpc
from tests.peers.envoy import EnvoyPeer, XdsClient

SECONDS = 60.0
KEY = ResourceKey(SCOPE, "iris")
PATIENCE = Patience(absent=0.2, answer=1.0)


def content(number: int) -> Versioned:
    return versioned(KEY, StringValue(value=str(number)))


def late() -> float:
    return float(XDS_LATE._value.get())


class Hanging(XdsClient):
    """Subscribes, and answers nothing."""

    def receive(self, response: discovery_pb2.DeltaDiscoveryResponse) -> list[discovery_pb2.DeltaDiscoveryRequest]:
        return []


class Crashing(XdsClient):
    """Ends at the first response."""

    def receive(self, response: discovery_pb2.DeltaDiscoveryResponse) -> list[discovery_pb2.DeltaDiscoveryRequest]:
        raise ConnectionResetError


@dataclass
class Street:
    server: XdsServer
    target: str

    async def publish(self, number: int) -> None:
        self.server.apply({KEY: content(number)})
        async with asyncio.timeout(SECONDS):
            await self.server.settled({KEY: content(number).version})

    async def run_for_ever(self, kind: type[XdsClient], ready: asyncio.Event) -> None:
        """Comes back at once, with nothing, whatever ends it."""
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError, ConnectionResetError):
                await EnvoyPeer(self.target, kind()).run(ready)
            await asyncio.sleep(0.02)


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    xds = XdsServer(PATIENCE)
    xds.release()
    server = rpc.server([SERVICE])
    xds.add_to(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Street(xds, f"127.0.0.1:{port}")
    await server.stop(None)


@contextlib.asynccontextmanager
async def envoys(street: Street, *kinds: type[XdsClient]) -> AsyncIterator[list[EnvoyPeer]]:
    """A healthy one and one of each kind, all connected."""
    healthy, ready = EnvoyPeer(street.target), [asyncio.Event() for _ in range(len(kinds) + 1)]
    tasks = [asyncio.create_task(healthy.run(ready[0]))]
    tasks += [
        asyncio.create_task(street.run_for_ever(kind, event)) for kind, event in zip(kinds, ready[1:], strict=True)
    ]
    for event in ready:
        await event.wait()
    try:
        yield [healthy]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_hanging_and_a_crashing_envoy_together_hold_up_no_route(street: Street) -> None:
    async with envoys(street, Hanging, Crashing) as (healthy,):
        for number in range(10):
            await street.publish(number)
            assert healthy.client.resources[KEY].version == content(number).version
        assert any("not waited for" in line or "was late" in line for line in street.server.behind())


async def test_only_the_first_change_waits_for_an_envoy_that_hangs(street: Street) -> None:
    async with envoys(street, Hanging):
        before, changes = late(), 300
        for number in range(changes):
            await street.publish(number)
        # Were it waited for, every change would last until it is disconnected once more.
        assert 1 <= late() - before < changes / 2


async def test_one_that_was_late_is_waited_for_again_when_it_has_caught_up(street: Street) -> None:
    async with envoys(street):
        hanging, connected = EnvoyPeer(street.target, Hanging()), asyncio.Event()
        task = asyncio.create_task(hanging.run(connected))
        await connected.wait()
        await street.publish(0)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await task
        assert street.server.behind() == ["Envoy at ipv4:127.0.0.1 was late and has not come back"]
        mended = EnvoyPeer(street.target)
        task = asyncio.create_task(mended.run())
        number = 0
        async with asyncio.timeout(SECONDS):
            while street.server.behind():
                number += 1
                await street.publish(number)
        await street.publish(number + 1)
        assert mended.client.resources[KEY].version == content(number + 1).version
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_alone_a_crashing_envoy_is_not_waited_for_longer_than_one_that_is_away(street: Street) -> None:
    task, connected = None, asyncio.Event()
    try:
        task = asyncio.create_task(street.run_for_ever(Crashing, connected))
        await connected.wait()
        for number in range(5):
            await street.publish(number)
    finally:
        if task is not None:
            task.cancel()
