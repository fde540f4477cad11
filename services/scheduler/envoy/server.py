"""Delta ADS for stock Envoys: hands out the cache, and tells when every Envoy has taken a change."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.cache import Versioned, XdsCache
from services.scheduler.core.envoy.resources import ResourceKey
from services.scheduler.core.envoy.stream import XdsStream
from services.scheduler.metrics import XDS_BEHIND, XDS_CONNECTED, XDS_LATE, XDS_REFUSED, XDS_RESOURCES, XDS_RESPONSES
from shared.logs import logger

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_REMEMBERED: Final = 600.0
"""Seconds for which an Envoy that was late and has not come back is thought of."""
_log = logger("xds")


@dataclass(frozen=True, slots=True)
class Patience:
    """In seconds."""

    absent: float = 10.0
    """For an Envoy that is not connected: it may be routing by what it was told before."""
    answer: float = 30.0
    """For an answer of each Envoy to each response, and of all together to one change of the routes. An Envoy that
    takes longer is disconnected and not waited for again until it has caught up."""


class XdsServer:
    """Serves nothing until `release`: a restarted scheduler must not withdraw routes it does not know yet."""

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience()
        self._cache = XdsCache()
        self._streams: dict[XdsStream, _Connection] = {}
        self._late: dict[str, float] = {}
        """Hosts of Envoys that hung or went away while they owed an answer, and when: a new stream from there is waited
        for when it has shown that it catches up."""
        self._released = asyncio.Event()
        self._progress = asyncio.Condition()
        self._absent_since = time.monotonic()

    def add_to(self, server: grpc.aio.Server) -> None:
        handler = grpc.stream_stream_rpc_method_handler(
            self._delta,
            request_deserializer=discovery_pb2.DeltaDiscoveryRequest.FromString,
            response_serializer=discovery_pb2.DeltaDiscoveryResponse.SerializeToString,
        )
        methods = {"DeltaAggregatedResources": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    @property
    def connected(self) -> int:
        """Number of Envoys."""
        return len(self._streams)

    def release(self) -> None:
        self._released.set()

    def get(self, key: ResourceKey) -> Versioned | None:
        return self._cache.get(key)

    def apply(self, changes: Mapping[ResourceKey, Versioned | None]) -> None:
        """Put changes into the cache and on their way to every Envoy."""
        changed = [key for key, entry in changes.items() if self._cache.set(key, entry)]
        for stream, connection in self._streams.items():
            for key in changed:
                stream.touch(key)
            connection.wake.set()

    async def settled(self, wanted: Mapping[ResourceKey, str | None]) -> dict[ResourceKey, str]:
        """Wait until every Envoy holds `wanted` (None: gone) or refused it. Returns what was refused, and why.

        Waits no longer than the patience with one change; who lacks it then is left behind.
        """
        deadline = time.monotonic() + self._patience.answer
        async with self._progress:
            while self._is_pending(wanted):
                left = self._left(deadline)
                if left <= 0:
                    self._leave_behind(wanted)
                    break
                # Not wait_for: it loses a cancellation that comes together with a notification.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._progress.wait()
        refusals: dict[ResourceKey, str] = {}
        for stream in self._streams:
            for key, version in wanted.items():
                refused = stream.refused.get(key)
                if refused is not None and refused[0] == version:
                    refusals[key] = refused[1]
        return refusals

    def behind(self) -> list[str]:
        """Of every Envoy that owes an answer or is not waited for any more: who it is and since when, for people."""
        now = time.monotonic()
        found = []
        for stream, connection in self._streams.items():
            since = stream.unanswered_since
            if since is None and connection.waited_for:
                continue
            owes = f"has not answered for {now - since:.0f} s" if since is not None else "is catching up"
            alone = (
                "" if connection.waited_for else "; it was late before, and is not waited for until it has caught up"
            )
            found.append(f"Envoy at {connection.peer} {owes}{alone}")
        gone = self._late.keys() - {each.host for each in self._streams.values() if not each.waited_for}
        return [*found, *(f"Envoy at {host} was late and has not come back" for host in sorted(gone))]

    def _waited_for(self) -> Iterator[XdsStream]:
        return (stream for stream, connection in self._streams.items() if connection.waited_for)

    def _is_pending(self, wanted: Mapping[ResourceKey, str | None]) -> bool:
        if any(connection.waited_for for connection in self._streams.values()):
            return any(stream.lacks(wanted) for stream in self._waited_for())
        return time.monotonic() < self._absent_since + self._patience.absent

    def _left(self, deadline: float) -> float:
        now = time.monotonic()
        if any(connection.waited_for for connection in self._streams.values()):
            return deadline - now
        return max(0.001, self._absent_since + self._patience.absent - now)

    def _leave_behind(self, wanted: Mapping[ResourceKey, str | None]) -> None:
        now = time.monotonic()
        for stream in list(self._waited_for()):
            if stream.lacks(wanted):
                if now - stream.since >= self._patience.answer:
                    self._hang_up(stream, "it lacks what others have acknowledged")
                else:
                    self._wait_no_longer(self._streams[stream])

    def _hang_up(self, stream: XdsStream, reason: str) -> None:
        """At once in the books, whatever the connection does: a peer that reads nothing cannot even be told."""
        connection = self._streams.pop(stream)
        XDS_LATE.inc()
        seconds = self._patience.answer
        _log.warning("Envoy did not acknowledge in time; disconnecting it", peer=connection.peer, seconds=seconds,
                     reason=reason)  # fmt: skip
        self._wait_no_longer(connection)
        connection.closing = True
        connection.wake.set()
        self._count()

    def _wait_no_longer(self, connection: "_Connection") -> None:
        now = time.monotonic()
        self._late = {host: at for host, at in self._late.items() if now - at < _REMEMBERED} | {connection.host: now}
        self._lost(connection)

    def _lost(self, connection: "_Connection") -> None:
        """One that nobody waited for is not missed: coming and going, it would hold up everything for ever."""
        missed, connection.waited_for = connection.waited_for, False
        if missed and not any(other.waited_for for other in self._streams.values()):
            self._absent_since = time.monotonic()

    def _trust_again(self, stream: XdsStream, connection: "_Connection") -> None:
        if not connection.waited_for and stream in self._streams and stream.unanswered_since is None:
            connection.waited_for = True
            self._late.pop(connection.host, None)
            _log.info("Envoy has caught up", peer=connection.peer)

    def _count(self) -> None:
        XDS_CONNECTED.set(len(self._streams))
        XDS_BEHIND.set(sum(not connection.waited_for for connection in self._streams.values()))

    async def _delta(
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], context: Any
    ) -> AsyncIterator[discovery_pb2.DeltaDiscoveryResponse]:
        await self._released.wait()
        peer = context.peer()  # not to be asked when the call has ended: the library may have freed it
        host = peer.rpartition(":")[0]
        stream, connection = XdsStream(self._cache, time.monotonic()), _Connection(peer, host, host not in self._late)
        self._streams[stream] = connection
        self._count()
        _log.info("Envoy connected", peer=peer)
        reader = asyncio.create_task(self._read(requests, stream, connection), name="xds-reader")
        watch = asyncio.create_task(self._watch(stream), name="xds-watch")
        try:
            while not connection.closing:
                await connection.wake.wait()
                connection.wake.clear()
                for response in stream.responses(time.monotonic()):
                    kind = response.type_url.rpartition(".")[2]
                    XDS_RESPONSES.labels(kind).inc()
                    XDS_RESOURCES.labels(kind).inc(len(response.resources) + len(response.removed_resources))
                    yield response
        finally:
            reader.cancel()
            watch.cancel()
            if self._streams.pop(stream, None) is not None:
                if stream.unanswered_since is not None:
                    self._wait_no_longer(connection)
                self._lost(connection)
            self._count()
            _log.info("Envoy disconnected", peer=peer)
            await self._notify()

    async def _watch(self, stream: XdsStream) -> None:
        """Hang up on an Envoy that leaves something unanswered, whether or not anybody waits for it."""
        while True:
            now, since = time.monotonic(), stream.unanswered_since
            due = (now if since is None else since) + self._patience.answer
            if due <= now:
                break
            await asyncio.sleep(due - now)
        if stream in self._streams:
            self._hang_up(stream, "it leaves a response unanswered")
            await self._notify()

    async def _read(
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], stream: XdsStream, connection: "_Connection"
    ) -> None:
        try:
            async for request in requests:
                if request.HasField("error_detail"):
                    XDS_REFUSED.inc()
                    _log.error("Envoy refused a change", type=request.type_url, error=request.error_detail.message)
                stream.receive(request)
                self._trust_again(stream, connection)
                self._count()
                connection.wake.set()
                await self._notify()
        finally:
            connection.closing = True
            connection.wake.set()

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()


@dataclass(slots=True, eq=False)
class _Connection:
    """The sending side of one stream."""

    peer: str
    host: str
    waited_for: bool
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    closing: bool = False
