"""What one connected Envoy has, what it asked for, and what it is still to be sent: delta xDS without any I/O."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.cache import XdsCache
from services.scheduler.core.envoy.resources import CLUSTER, ENDPOINTS, SCOPE, ResourceKey

SEND_ORDER: Final = (CLUSTER, ENDPOINTS, SCOPE)
"""Clusters before their endpoints, both before the routes that need them."""
_WILDCARD: Final = "*"
_WILDCARD_TYPES: Final = frozenset({CLUSTER, SCOPE})


@dataclass(slots=True)
class _Sent:
    type_url: str
    versions: dict[str, str | None]
    """Resource name to version; None for a removal."""
    at: float


@dataclass(slots=True, eq=False)
class XdsStream:
    """One stream, opened at `since`. `held` is what the Envoy has confirmed, `refused` what it did not take and why.

    Times are seconds of any one clock.
    """

    cache: XdsCache
    since: float = 0.0
    held: dict[ResourceKey, str] = field(default_factory=dict)
    refused: dict[ResourceKey, tuple[str | None, str]] = field(default_factory=dict)
    _subscribed: set[ResourceKey] = field(default_factory=set)
    _wildcards: set[str] = field(default_factory=set)
    _opened: set[str] = field(default_factory=set)
    _dirty: dict[str, set[str]] = field(default_factory=dict)
    _alone: list[ResourceKey] = field(default_factory=list)
    """Resources of a refused response, to be sent one by one to learn which of them is at fault."""
    _greet: set[str] = field(default_factory=set)
    _in_flight: dict[str, _Sent] = field(default_factory=dict)
    """By nonce, the oldest first."""
    _nonce: int = 0

    def receive(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        """Take one request: a subscription, an acknowledgement, a refusal, or several of these at once."""
        opening = request.type_url not in self._opened
        if opening:
            self._open(request)
        self._answered(request)
        for name in request.resource_names_unsubscribe:
            key = ResourceKey(request.type_url, name)
            self._subscribed.discard(key)
            self.held.pop(key, None)
        for name in request.resource_names_subscribe:
            if name == _WILDCARD:
                self._open_wildcard(request)
                continue
            key = ResourceKey(request.type_url, name)
            self._subscribed.add(key)
            if not opening:
                self.held.pop(key, None)  # who subscribes anew wants the resource, whatever it had before
            self._dirty.setdefault(request.type_url, set()).add(name)

    def _open(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        type_url = request.type_url
        self._opened.add(type_url)
        for name, version in request.initial_resource_versions.items():
            self.held[ResourceKey(type_url, name)] = version
        if type_url in _WILDCARD_TYPES and not request.resource_names_subscribe:
            self._open_wildcard(request)

    def _open_wildcard(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        type_url = request.type_url
        self._wildcards.add(type_url)
        self._greet.add(type_url)
        self._dirty[type_url] = set(self.cache.names(type_url)) | set(request.initial_resource_versions)

    def _answered(self, request: discovery_pb2.DeltaDiscoveryRequest) -> None:
        sent = self._in_flight.pop(request.response_nonce, None)
        if sent is None:
            return
        if not request.HasField("error_detail"):
            for name, version in sent.versions.items():
                self._hold(ResourceKey(sent.type_url, name), version)
        elif len(sent.versions) > 1:
            self._alone += [ResourceKey(sent.type_url, name) for name in sent.versions]
            return
        else:
            for name, version in sent.versions.items():
                self.refused[ResourceKey(sent.type_url, name)] = (version, request.error_detail.message)
        self._send_what_changed_back(sent)

    def _send_what_changed_back(self, sent: _Sent) -> None:
        """A resource that became again what it was, while its change was on the way, is due once more."""
        in_flight = [other.versions for other in self._in_flight.values() if other.type_url == sent.type_url]
        for name in sent.versions:
            if not any(name in versions for versions in in_flight):
                self._due(ResourceKey(sent.type_url, name))

    def _hold(self, key: ResourceKey, version: str | None) -> None:
        self.refused.pop(key, None)
        if version is None:
            self.held.pop(key, None)
        else:
            self.held[key] = version

    def touch(self, key: ResourceKey) -> None:
        """A resource changed in the cache, or is to be tried once more."""
        self.refused.pop(key, None)
        self._due(key)

    def _due(self, key: ResourceKey) -> None:
        if key.type_url in self._wildcards or key in self._subscribed:
            self._dirty.setdefault(key.type_url, set()).add(key.name)

    def responses(self, now: float = 0.0) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        """Everything that is due now, in an order that never lets a route point at a cluster not yet there."""
        for type_url in SEND_ORDER:
            names = self._dirty.pop(type_url, set())
            response = self._response(type_url, names, now)
            if response is not None:
                yield response
        alone, self._alone = self._alone, []
        for key in alone:
            response = self._response(key.type_url, {key.name}, now)
            if response is not None:
                yield response

    def _response(self, type_url: str, names: set[str], now: float) -> discovery_pb2.DeltaDiscoveryResponse | None:
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url)
        versions: dict[str, str | None] = {}
        for name in sorted(names):
            key = ResourceKey(type_url, name)
            entry = self.cache.get(key)
            if entry is None:
                if key in self.held and type_url in self._wildcards:
                    response.removed_resources.append(name)
                    versions[name] = None
            elif entry.version not in (self.held.get(key), self.refused.get(key, (None,))[0]):
                response.resources.append(entry.resource)
                versions[name] = entry.version
        if not versions and type_url not in self._greet:
            return None
        self._greet.discard(type_url)
        self._nonce += 1
        response.nonce = str(self._nonce)
        self._in_flight[response.nonce] = _Sent(type_url, versions, now)
        return response

    @property
    def unanswered_since(self) -> float | None:
        """Since when the Envoy owes an answer, those to the first responses included; None when it owes nothing."""
        if self._greet or not self._opened >= _WILDCARD_TYPES:
            return self.since
        return next((sent.at for sent in self._in_flight.values()), None)

    def lacks(self, wanted: Mapping[ResourceKey, str | None]) -> bool:
        """Whether something of `wanted` (None: gone) is neither held nor refused yet."""
        return any(
            self.held.get(key) != version and self.refused.get(key, (object(), ""))[0] != version
            for key, version in wanted.items()
        )
