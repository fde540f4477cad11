"""The xDS side of an Envoy: subscribes, holds what it is given, and can be told to refuse some of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc
import grpc.aio
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.resources import CLUSTER, ENDPOINTS, SCOPE, ResourceKey

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
Refusal = Callable[[discovery_pb2.Resource], str]
"""Empty to accept a resource, else the reason for refusing it."""


@dataclass
class XdsClient:
    """The protocol without any I/O: requests out, responses in.

    Follows what Envoy does: all clusters and scopes by wildcard, the endpoints of the clusters it has by name; a
    response with a bad resource is refused as a whole.
    """

    refuse: Refusal = lambda _: ""
    resources: dict[ResourceKey, discovery_pb2.Resource] = field(default_factory=dict)
    received: list[ResourceKey] = field(default_factory=list)
    """Every resource and every removal that was sent to it, in order."""

    def opening(self) -> list[discovery_pb2.DeltaDiscoveryRequest]:
        """The first requests of a new stream; they tell what is held from the one before."""
        requests = [self._opening(CLUSTER, []), self._opening(SCOPE, [])]
        endpoints = sorted(key.name for key in self.resources if key.type_url == CLUSTER)
        return [*requests, self._opening(ENDPOINTS, endpoints)] if endpoints else requests

    def _opening(self, type_url: str, names: list[str]) -> discovery_pb2.DeltaDiscoveryRequest:
        return discovery_pb2.DeltaDiscoveryRequest(
            type_url=type_url,
            resource_names_subscribe=names,
            initial_resource_versions={
                key.name: resource.version for key, resource in self.resources.items() if key.type_url == type_url
            },
        )

    def receive(self, response: discovery_pb2.DeltaDiscoveryResponse) -> list[discovery_pb2.DeltaDiscoveryRequest]:
        """Apply or refuse; returns the answer and, after clusters, the endpoints to subscribe to."""
        type_url = response.type_url
        self.received += [ResourceKey(type_url, resource.name) for resource in response.resources]
        self.received += [ResourceKey(type_url, name) for name in response.removed_resources]
        answer = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=response.nonce)
        reasons = [reason for resource in response.resources if (reason := self.refuse(resource))]
        if reasons:
            answer.error_detail.code, answer.error_detail.message = 3, "; ".join(reasons)
            return [answer]
        if type_url == ENDPOINTS:
            # Endpoints may cross the removal of their cluster on the way.
            self.resources |= {
                ResourceKey(type_url, resource.name): resource
                for resource in response.resources
                if ResourceKey(CLUSTER, resource.name) in self.resources
            }
            return [answer]
        added = [r.name for r in response.resources if ResourceKey(type_url, r.name) not in self.resources]
        for resource in response.resources:
            self.resources[ResourceKey(type_url, resource.name)] = resource
        for name in response.removed_resources:
            self.resources.pop(ResourceKey(type_url, name), None)
        if type_url != CLUSTER:
            return [answer]
        for name in response.removed_resources:
            self.resources.pop(ResourceKey(ENDPOINTS, name), None)
        names = discovery_pb2.DeltaDiscoveryRequest(
            type_url=ENDPOINTS,
            resource_names_subscribe=added,
            resource_names_unsubscribe=response.removed_resources,
        )
        return [answer, names] if added or response.removed_resources else [answer]


@dataclass
class EnvoyPeer:
    """An `XdsClient` on a real stream to `target` (host:port)."""

    target: str
    client: XdsClient = field(default_factory=XdsClient)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with every response."""

    async def run(self, connected: asyncio.Event | None = None) -> None:
        """Serve one stream until it ends. `connected` is set with the first response."""
        async with grpc.aio.insecure_channel(self.target) as channel:
            method = channel.stream_stream(
                METHOD,
                request_serializer=discovery_pb2.DeltaDiscoveryRequest.SerializeToString,
                response_deserializer=discovery_pb2.DeltaDiscoveryResponse.FromString,
            )
            call = method(wait_for_ready=True)
            for request in self.client.opening():
                await call.write(request)
            async for response in call:
                if connected is not None:
                    connected.set()
                for request in self.client.receive(response):
                    await call.write(request)
                self.changed.set()

    async def until_withdrawn(self, key: ResourceKey) -> None:
        """Wait until a resource is gone. Raises TimeoutError after 20 s."""
        async with asyncio.timeout(20):
            while key in self.client.resources:
                self.changed.clear()
                await self.changed.wait()
