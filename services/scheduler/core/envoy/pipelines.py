"""From a pipeline's plan to Envoy's own resources: its requests go to the gateways that hold it."""

from collections.abc import Iterator
from typing import Final

from google.protobuf.message import Message
from xds.config.endpoint.v3 import endpoint_pb2
from xds.config.route.v3 import route_components_pb2

from services.scheduler.core.envoy.resources import (
    CLUSTER,
    ENDPOINTS,
    SCOPE,
    ResourceKey,
    cluster,
    route,
    scope,
    try_elsewhere,
)
from services.scheduler.core.routing import PipelinePlan
from shared import timing

# Only what no gateway has seen is tried again: a record that was written is a request that runs.
_RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"
_PREFIXES: Final = {"http": "/v2", "grpc": "/inference.GRPCInferenceService/"}


def pipeline_resources(scope_name: str, plan: PipelinePlan, retry_seconds: float) -> dict[ResourceKey, Message]:
    """All of Envoy's resources for `<pipeline>.pipeline`; empty when no gateway holds it."""
    if not plan.gateways:
        return {}
    made: dict[ResourceKey, Message] = {}
    for protocol in _PREFIXES:
        name = _cluster_name(scope_name, protocol)
        made[ResourceKey(CLUSTER, name)] = cluster(name, grpc=protocol == "grpc", asked_every=timing.KEEPALIVE_SECONDS)
        made[ResourceKey(ENDPOINTS, name)] = _endpoints(name, plan, protocol)
    made[ResourceKey(SCOPE, scope_name)] = scope(scope_name, _routes(scope_name, retry_seconds))
    return made


def _cluster_name(scope_name: str, protocol: str) -> str:
    return f"{scope_name.removesuffix('.pipeline')}_pipeline_{protocol}"


def _endpoints(name: str, plan: PipelinePlan, protocol: str) -> endpoint_pb2.ClusterLoadAssignment:
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    locality = assignment.endpoints.add()
    for host, http_port, grpc_port in plan.gateways:
        address = locality.lb_endpoints.add().endpoint.address.socket_address
        address.address, address.port_value = host, grpc_port if protocol == "grpc" else http_port
    return assignment


def _routes(scope_name: str, retry_seconds: float) -> Iterator[route_components_pb2.Route]:
    for protocol, prefix in _PREFIXES.items():
        made = route(f"{scope_name}_{protocol}", _cluster_name(scope_name, protocol), internal=scope_name)
        made.match.prefix = prefix
        policy = made.route.retry_policy
        policy.retry_on = _RETRY_ON
        try_elsewhere(policy, retry_seconds)
        yield made
