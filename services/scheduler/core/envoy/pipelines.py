"""From a pipeline's plan to Envoy's own resources: its requests go to the gateways that hold it."""

from collections.abc import Iterator
from typing import Final

from google.protobuf.message import Message
from xds.config.endpoint.v3 import endpoint_pb2
from xds.config.route.v3 import route_components_pb2
from xds.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2

from services.scheduler.core.envoy.resources import (
    CLUSTER,
    ENDPOINTS,
    SCOPE,
    ResourceKey,
    back_off_retries,
    cluster,
    route,
    scope,
)
from services.scheduler.core.routing import PipelinePlan

# Only what no gateway has seen is tried again, at another one if there is another.
_RETRY_ON: Final = "connect-failure,refused-stream"
_PREVIOUS_HOSTS: Final = "envoy.retry_host_predicates.previous_hosts"
_RETRIES: Final = 3
_PREFIXES: Final = {"http": "/v2", "grpc": "/inference.GRPCInferenceService/"}


def pipeline_resources(scope_name: str, plan: PipelinePlan) -> dict[ResourceKey, Message]:
    """All of Envoy's resources for `<pipeline>.pipeline`; empty when no gateway holds it."""
    if not plan.gateways:
        return {}
    made: dict[ResourceKey, Message] = {}
    for protocol in _PREFIXES:
        name = _cluster_name(scope_name, protocol)
        made[ResourceKey(CLUSTER, name)] = cluster(name, grpc=protocol == "grpc")
        made[ResourceKey(ENDPOINTS, name)] = _endpoints(name, plan, protocol)
    made[ResourceKey(SCOPE, scope_name)] = scope(scope_name, _routes(scope_name))
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


def _routes(scope_name: str) -> Iterator[route_components_pb2.Route]:
    for protocol, prefix in _PREFIXES.items():
        made = route(f"{scope_name}_{protocol}", _cluster_name(scope_name, protocol), internal=scope_name)
        made.match.prefix = prefix
        policy = made.route.retry_policy
        policy.retry_on = _RETRY_ON
        policy.num_retries.value = _RETRIES
        predicate = policy.retry_host_predicate.add(name=_PREVIOUS_HOSTS)
        predicate.typed_config.Pack(previous_hosts_pb2.PreviousHostsPredicate())
        policy.host_selection_retry_max_attempts = _RETRIES
        back_off_retries(policy)
        yield made
