"""Who answers for a model or a pipeline, and over which addresses: the part of the state that Envoy is told."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One copy of a version. `direct` is the inference server itself (None: only through the agent)."""

    replica: int
    direct: tuple[str, int, int] | None
    """Host, HTTP port, gRPC port."""
    agent: tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Upstream:
    """All copies of one version that can answer."""

    version: int
    server: str
    server_type: str
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What Envoy should know of a model.

    Upstreams exist for every version that can answer, the one on its way out included, so that requests in flight end
    well; new requests go to `routed` alone.
    """

    upstreams: tuple[Upstream, ...]
    routed: int | None

    def routes_to(self, version: int, replica: int) -> bool:
        """Whether new requests can reach this copy."""
        return version == self.routed and any(
            endpoint.replica == replica
            for upstream in self.upstreams
            if upstream.version == version
            for endpoint in upstream.endpoints
        )


NO_ROUTE = RoutePlan(upstreams=(), routed=None)


Gateway: TypeAlias = tuple[str, int, int]
"""Host, HTTP port and gRPC port."""


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """The gateways that take a pipeline's requests."""

    gateways: tuple[Gateway, ...]


NO_GATEWAY = PipelinePlan(gateways=())
Plan: TypeAlias = RoutePlan | PipelinePlan
