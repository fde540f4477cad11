"""Peers that are known by names: what the names mean is looked at again."""

import asyncio
import socket
from typing import Any

import pytest

from services.scheduler.links.link import Link
from services.scheduler.peers import addresses
from services.scheduler.peers.addresses import ended_when_moved, resolve


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Names and their addresses at the moment; the test's own name server."""
    known: dict[str, str] = {}

    async def look_up(_loop: Any, host: str, port: int, **_: Any) -> list[Any]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (known[host], port))]

    monkeypatch.setattr(addresses, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", look_up)
    return known


async def ended(link: Link[str]) -> None:
    async for _ in link.instructions():
        pass


async def test_a_peer_whose_name_means_another_address_is_made_to_register_anew(names: dict[str, str]) -> None:
    names["mlserver"] = "10.0.0.2"
    known = await resolve("mlserver", 8080, 8081)
    link = Link[str]()
    async with asyncio.timeout(10), ended_when_moved(link, [("mlserver", known)]):
        ending = asyncio.create_task(ended(link))
        await asyncio.sleep(0.05)
        # Not known for a while, as a container's name while it starts, is not moved.
        del names["mlserver"]
        await asyncio.sleep(0.05)
        assert not ending.done()
        names["mlserver"] = "10.0.0.3"
        await ending


async def test_addresses_are_not_looked_at_again(names: dict[str, str]) -> None:
    link = Link[str]()
    async with ended_when_moved(link, [("127.0.0.1", await resolve("127.0.0.1", 1, 2))]):
        ending = asyncio.create_task(ended(link))
        await asyncio.sleep(0.05)
        assert not ending.done()
        ending.cancel()
