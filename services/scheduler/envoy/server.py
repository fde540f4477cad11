"""Delta ADS for stock Envoys: hands out the cache, and tells when every Envoy has taken a change."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc
import grpc.aio
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.cache import Versioned, XdsCache
from services.scheduler.core.envoy.resources import ResourceKey
from services.scheduler.core.envoy.stream import XdsStream
from services.scheduler.metrics import XDS_CONNECTED, XDS_REFUSED, XDS_RESOURCES, XDS_RESPONSES
from shared.logs import logger

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
ABSENT_GRACE: Final = 10.0
"""Seconds to wait for an Envoy that is not connected: it may be routing by what it was told before."""
ACK_DEADLINE: Final = 30.0
"""Seconds after which an Envoy that does not answer is disconnected, so that it cannot hold up the others."""

_log = logger("xds")


class XdsServer:
    """Serves nothing until `release`: a restarted scheduler must not withdraw routes it does not know yet."""

    def __init__(self) -> None:
        self._cache = XdsCache()
        self._streams: dict[XdsStream, _Connection] = {}
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
        """Wait until every Envoy holds `wanted` (None: gone) or refused it. Returns what was refused, and why."""
        async with self._progress:
            while self._is_pending(wanted):
                try:
                    # Not wait_for: it loses a cancellation that comes together with a notification.
                    async with asyncio.timeout(self._patience()):
                        await self._progress.wait()
                except TimeoutError:
                    self._disconnect_laggards(wanted)
        refusals: dict[ResourceKey, str] = {}
        for stream in self._streams:
            for key, version in wanted.items():
                refused = stream.refused.get(key)
                if refused is not None and refused[0] == version:
                    refusals[key] = refused[1]
        return refusals

    def _is_pending(self, wanted: Mapping[ResourceKey, str | None]) -> bool:
        if not self._streams:
            return time.monotonic() < self._absent_since + ABSENT_GRACE
        return any(stream.lacks(wanted) for stream in self._streams)

    def _patience(self) -> float:
        if self._streams:
            return ACK_DEADLINE
        return max(0.05, self._absent_since + ABSENT_GRACE - time.monotonic())

    def _disconnect_laggards(self, wanted: Mapping[ResourceKey, str | None]) -> None:
        for stream, connection in list(self._streams.items()):
            if stream.lacks(wanted):
                _log.warning("Envoy did not acknowledge in time; disconnecting it", seconds=ACK_DEADLINE)
                connection.closing = True
                connection.wake.set()

    async def _delta(
        self, requests: AsyncIterator[discovery_pb2.DeltaDiscoveryRequest], context: Any
    ) -> AsyncIterator[discovery_pb2.DeltaDiscoveryResponse]:
        await self._released.wait()
        stream, connection = XdsStream(self._cache), _Connection()
        self._streams[stream] = connection
        XDS_CONNECTED.set(len(self._streams))
        peer = context.peer()  # not to be asked when the call has ended: the library may have freed it
        _log.info("Envoy connected", peer=peer)
        reader = asyncio.create_task(self._read(requests, stream, connection), name="xds-reader")
        try:
            while not connection.closing:
                await connection.wake.wait()
                connection.wake.clear()
                for response in stream.responses():
                    kind = response.type_url.rpartition(".")[2]
                    XDS_RESPONSES.labels(kind).inc()
                    XDS_RESOURCES.labels(kind).inc(len(response.resources) + len(response.removed_resources))
                    yield response
        finally:
            reader.cancel()
            del self._streams[stream]
            XDS_CONNECTED.set(len(self._streams))
            self._absent_since = time.monotonic()
            _log.info("Envoy disconnected", peer=peer)
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
                connection.wake.set()
                await self._notify()
        finally:
            connection.closing = True
            connection.wake.set()

    async def _notify(self) -> None:
        async with self._progress:
            self._progress.notify_all()


class _Connection:
    """The sending side of one stream."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.closing = False
