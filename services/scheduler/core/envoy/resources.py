"""What all of Envoy's resources for models and pipelines have in common: clusters, and one route scope per name.

Every model and pipeline has a scope of its own, keyed by the header `seldon-model`. Envoy finds it in a hash table, and
a change of one sends that one's resources only, whatever their number.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from xds.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from xds.config.core.v3 import base_pb2, config_source_pb2
from xds.config.route.v3 import route_components_pb2, scoped_route_pb2
from xds.extensions.upstreams.http.v3 import http_protocol_options_pb2

from shared.names import HEADER_INTERNAL_MODEL, HEADER_ROUTE

_TYPE: Final = "type.googleapis.com/"
CLUSTER: Final = _TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS: Final = _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SCOPE: Final = _TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

CONNECT_TIMEOUT_SECONDS: Final = 1
IDLE_TIMEOUT_SECONDS: Final = 4
"""Below the 5 s after which uvicorn (MLServer, our own services) closes an idle connection, so that no request meets
one that is being closed."""
MAX_IN_FLIGHT: Final = 4096
"""Per cluster; what is above is answered 503 at once instead of queueing without bound."""


class ResourceKey(NamedTuple):
    type_url: str
    name: str


def cluster(name: str, *, grpc: bool) -> cluster_pb2.Cluster:
    """A cluster whose endpoints come over the same stream."""
    made = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS, lb_policy=cluster_pb2.Cluster.LEAST_REQUEST)
    made.eds_cluster_config.eds_config.ads.SetInParent()
    made.eds_cluster_config.eds_config.resource_api_version = config_source_pb2.V3
    made.connect_timeout.seconds = CONNECT_TIMEOUT_SECONDS
    limits = circuit_breaker_pb2.CircuitBreakers.Thresholds()
    for limit in (limits.max_connections, limits.max_pending_requests, limits.max_requests, limits.max_retries):
        limit.value = MAX_IN_FLIGHT
    made.circuit_breakers.thresholds.append(limits)
    # A host that leaves must not take requests that the rest could answer, so panic routing is off.
    made.common_lb_config.healthy_panic_threshold.value = 0
    options = http_protocol_options_pb2.HttpProtocolOptions()
    options.common_http_protocol_options.idle_timeout.seconds = IDLE_TIMEOUT_SECONDS
    if grpc:
        options.explicit_http_config.http2_protocol_options.SetInParent()
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    made.typed_extension_protocol_options[_HTTP_OPTIONS].Pack(options)
    return made


def scope(name: str, routes: Iterable[route_components_pb2.Route]) -> scoped_route_pb2.ScopedRouteConfiguration:
    """The routes of requests whose header `seldon-model` is `name`."""
    made = scoped_route_pb2.ScopedRouteConfiguration(name=name)
    made.key.fragments.add().string_key = name
    made.route_configuration.name = name
    host = made.route_configuration.virtual_hosts.add(name=name, domains=["*"])
    host.routes.extend(routes)
    return made


def route(name: str, cluster_name: str, internal: str) -> route_components_pb2.Route:
    """A route that tells its upstream, and the caller, that `internal` was chosen."""
    made = route_components_pb2.Route(name=name)
    made.route.cluster = cluster_name
    # No limit: streaming and long inference are never cut.
    made.route.timeout.SetInParent()
    add = base_pb2.HeaderValueOption(append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD)
    add.header.key, add.header.value = HEADER_INTERNAL_MODEL, internal
    made.request_headers_to_add.append(add)
    answer = base_pb2.HeaderValueOption(append_action=base_pb2.HeaderValueOption.APPEND_IF_EXISTS_OR_ADD)
    answer.header.key, answer.header.value = HEADER_ROUTE, f":{internal}:"
    made.response_headers_to_add.append(answer)
    return made


def back_off_retries(policy: route_components_pb2.RetryPolicy) -> None:
    """Retries follow each other within milliseconds: what is retried did not reach anybody."""
    policy.retry_back_off.base_interval.nanos = 5_000_000
    policy.retry_back_off.max_interval.nanos = 50_000_000
