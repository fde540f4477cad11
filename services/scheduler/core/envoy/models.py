"""From a model's route plan to Envoy's own resources."""

from collections.abc import Iterator
from typing import Final

from google.protobuf import struct_pb2
from google.protobuf.message import Message
from xds.config.cluster.v3 import cluster_pb2
from xds.config.core.v3 import base_pb2
from xds.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from xds.config.route.v3 import route_components_pb2
from xds.extensions.filters.http.lua.v3 import lua_pb2
from xds.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2

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
from services.scheduler.core.routing import Endpoint, RoutePlan, Upstream
from shared.names import HEADER_COUNTED, HEADER_ELSEWHERE, HEADER_FINAL, internal_name

METADATA: Final = "seldon"
"""Filter metadata namespace of clusters and endpoints that the access log takes its tags from."""
_SUBSET_METADATA: Final = "envoy.lb"
"""Namespace in which Envoy's load balancer looks for the endpoints that a route asks for."""
LUA_FILTER: Final = "envoy.filters.http.lua"
_PREVIOUS_PRIORITIES: Final = "envoy.retry_priorities.previous_priorities"
# Inference changes nothing, so what a server was asked when it died may be asked again. Answers that have begun are
# never begun again.
_RETRY_ON: Final = "connect-failure,refused-stream,reset,retriable-status-codes,retriable-headers"
_REST_MODEL_PATH: Final = r"^/v2/models/[^/?]+(/versions/[^/?]+)?"
_GRPC_MODEL_METHODS: Final = r"/inference\.GRPCInferenceService/Model(Infer|StreamInfer|Metadata|Ready)"
_GRPC_SERVER_METHODS: Final = r"/inference\.GRPCInferenceService/Server(Live|Ready|Metadata)"
_REST_SERVER_PATHS: Final = r"/v2/?|/v2/health/(live|ready)"
_UNKNOWN_MODEL_STATUS: Final = {"triton": (400, 404)}
"""How servers say over REST that they do not have a model; 404 where nothing else is known."""


def model_resources(model: str, plan: RoutePlan, retry_seconds: float) -> dict[ResourceKey, Message]:
    """All of Envoy's resources for one model; empty when nothing can answer."""
    made: dict[ResourceKey, Message] = {}
    for upstream in plan.upstreams:
        internal = internal_name(model, upstream.version)
        for grpc in (False, True):
            name = _cluster_name(internal, grpc=grpc)
            made[ResourceKey(CLUSTER, name)] = _cluster(name, model, upstream, grpc=grpc)
            made[ResourceKey(ENDPOINTS, name)] = _endpoints(name, upstream, grpc=grpc)
        if upstream.version == plan.routed:
            made[ResourceKey(SCOPE, model)] = scope(model, _routes(model, model, internal, upstream, retry_seconds))
    return made


def _cluster_name(internal: str, *, grpc: bool) -> str:
    return f"{internal}_{'grpc' if grpc else 'http'}"


def _cluster(name: str, model: str, upstream: Upstream, *, grpc: bool) -> cluster_pb2.Cluster:
    made = cluster(name, grpc=grpc)
    tags = {
        "model": model,
        "model_internal": internal_name(model, upstream.version),
        "method_type": "grpc" if grpc else "rest",
    }
    made.metadata.filter_metadata[METADATA].update(tags)
    if grpc:
        made.lb_subset_config.fallback_policy = cluster_pb2.Cluster.LbSubsetConfig.ANY_ENDPOINT
        made.lb_subset_config.subset_selectors.add(keys=["via"])
    return made


def _endpoints(name: str, upstream: Upstream, *, grpc: bool) -> endpoint_pb2.ClusterLoadAssignment:
    """Priority 0: the inference servers themselves. Priority 1: their agents, which load what is missing."""
    assignment = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    # 100 %: the second priority is for retries and for an empty first one, not for a share of healthy traffic.
    assignment.policy.overprovisioning_factor.value = 100
    direct = [endpoint for endpoint in upstream.endpoints if endpoint.direct is not None]
    first = assignment.endpoints.add(priority=0)
    first.lb_endpoints.extend(_lb_endpoint(endpoint, upstream, direct=True, grpc=grpc) for endpoint in direct)
    second = assignment.endpoints.add(priority=1)
    second.lb_endpoints.extend(
        _lb_endpoint(endpoint, upstream, direct=False, grpc=grpc) for endpoint in upstream.endpoints
    )
    return assignment


def _lb_endpoint(
    endpoint: Endpoint, upstream: Upstream, *, direct: bool, grpc: bool
) -> endpoint_components_pb2.LbEndpoint:
    host, http_port, grpc_port = endpoint.direct if direct and endpoint.direct else endpoint.agent
    made = endpoint_components_pb2.LbEndpoint()
    address = made.endpoint.address.socket_address
    address.address, address.port_value = host, grpc_port if grpc else http_port
    via = "server" if direct else "agent"
    tags = {"server": upstream.server, "replica": str(endpoint.replica), "via": via}
    made.metadata.filter_metadata[METADATA].update(tags)
    if grpc:
        made.metadata.filter_metadata[_SUBSET_METADATA].update({"via": via})
    return made


def _routes(
    name: str, model: str, internal: str, upstream: Upstream, retry_seconds: float
) -> Iterator[route_components_pb2.Route]:
    """Model calls with the name rewritten, then server calls as they are; what may change a server has no route."""
    http, grpc = _cluster_name(internal, grpc=False), _cluster_name(internal, grpc=True)

    rest = _route(f"{name}_http", http, internal, upstream, retry_seconds)
    rest.match.prefix = "/v2/models/"
    rest.route.regex_rewrite.pattern.regex = _REST_MODEL_PATH
    rest.route.regex_rewrite.substitution = f"/v2/models/{internal}"
    yield rest

    # The renaming filter cannot look into a compressed message; the agent can.
    compressed = _route(f"{name}_grpc_compressed", grpc, internal, upstream, retry_seconds)
    compressed.match.safe_regex.regex = _GRPC_MODEL_METHODS
    encoding = compressed.match.headers.add(name="grpc-encoding", invert_match=True, treat_missing_header_as_empty=True)
    encoding.string_match.safe_regex.regex = "|identity"
    compressed.route.metadata_match.filter_metadata[_SUBSET_METADATA].update({"via": "agent"})
    yield compressed

    plain = _route(f"{name}_grpc", grpc, internal, upstream, retry_seconds)
    plain.match.safe_regex.regex = _GRPC_MODEL_METHODS
    context = struct_pb2.Struct()
    context.update({"internal": internal})
    plain.typed_per_filter_config[LUA_FILTER].Pack(lua_pb2.LuaPerRoute(filter_context=context))
    yield plain

    server_rest = _route(f"{name}_server_http", http, internal, upstream, retry_seconds)
    server_rest.match.safe_regex.regex = _REST_SERVER_PATHS
    yield server_rest
    server_grpc = _route(f"{name}_server_grpc", grpc, internal, upstream, retry_seconds)
    server_grpc.match.safe_regex.regex = _GRPC_SERVER_METHODS
    yield server_grpc


def _route(
    name: str, cluster_name: str, internal: str, upstream: Upstream, retry_seconds: float
) -> route_components_pb2.Route:
    made = route(name, cluster_name, internal)
    made.request_headers_to_add.append(_header(HEADER_COUNTED, "envoy"))
    if len(upstream.endpoints) > 1:
        made.request_headers_to_add.append(_header(HEADER_ELSEWHERE, "yes"))
    made.response_headers_to_remove.extend((HEADER_ELSEWHERE, HEADER_FINAL))
    _retry(made.route.retry_policy, upstream, retry_seconds)
    return made


def _header(name: str, value: str) -> base_pb2.HeaderValueOption:
    made = base_pb2.HeaderValueOption(append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    made.header.key, made.header.value = name, value
    return made


def _retry(policy: route_components_pb2.RetryPolicy, upstream: Upstream, seconds: float) -> None:
    """A server that is down, or does not have the model any more, costs a retry, not an error.

    First another server if there is one, then the agents, whose answers to what a server did not know are final; round
    and round while nobody can be reached.
    """
    policy.retry_on = _RETRY_ON
    policy.retriable_status_codes.extend(_UNKNOWN_MODEL_STATUS.get(upstream.server_type, (404,)))
    not_found = policy.retriable_headers.add(name="grpc-status")
    not_found.string_match.exact = "5"
    policy.retriable_headers.add(name=HEADER_ELSEWHERE, present_match=True)
    policy.retry_priority.name = _PREVIOUS_PRIORITIES
    servers = sum(endpoint.direct is not None for endpoint in upstream.endpoints)
    attempts = previous_priorities_config_pb2.PreviousPrioritiesConfig(update_frequency=min(max(servers, 1), 2))
    policy.retry_priority.typed_config.Pack(attempts)
    try_elsewhere(policy, seconds)
