"""The resources that Envoy should have, each with a version made from its content.

Equal content has an equal version, also after a restart, so an Envoy that reconnects is sent only what differs.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.message import Message
from xds.service.discovery.v3 import discovery_pb2

from services.scheduler.core.envoy.resources import ResourceKey


@dataclass(frozen=True, slots=True)
class Versioned:
    version: str
    resource: discovery_pb2.Resource


def versioned(key: ResourceKey, message: Message) -> Versioned:
    content = message.SerializeToString(deterministic=True)
    version = hashlib.blake2b(content, digest_size=8).hexdigest()
    resource = discovery_pb2.Resource(name=key.name, version=version)
    resource.resource.type_url, resource.resource.value = key.type_url, content
    return Versioned(version, resource)


class XdsCache:
    """Key to resource, by type."""

    def __init__(self) -> None:
        self._by_type: dict[str, dict[str, Versioned]] = {}

    def get(self, key: ResourceKey) -> Versioned | None:
        return self._by_type.get(key.type_url, {}).get(key.name)

    def set(self, key: ResourceKey, entry: Versioned | None) -> bool:
        """Put or, with None, remove a resource. True when that changes something."""
        entries = self._by_type.setdefault(key.type_url, {})
        before = entries.get(key.name)
        if entry is None:
            return entries.pop(key.name, None) is not None
        entries[key.name] = entry
        return before is None or before.version != entry.version

    def names(self, type_url: str) -> Iterable[str]:
        return self._by_type.get(type_url, {}).keys()
