"""What all of Envoy's resources for models and pipelines have in common: clusters, and one route scope per name.

Every model and pipeline has a scope of its own, keyed by the header `seldon-model`. Envoy finds it in a hash table, and
a change of one sends that one's resources only, whatever their number.
"""

from collections.abc import Iterable
from itertools import accumulate, takewhile
from typing import Final, NamedTuple

from xds.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2, outlier_detection_pb2
from xds.config.core.v3 import base_pb2, config_source_pb2
from xds.config.route.v3 import route_components_pb2, scoped_route_pb2
from xds.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from xds.extensions.upstreams.http.v3 import http_protocol_options_pb2

from shared import timing
from shared.delays import exponential
from shared.names import HEADER_INTERNAL_MODEL, HEADER_ROUTE

_TYPE: Final = "type.googleapis.com/"
CLUSTER: Final = _TYPE + "envoy.config.cluster.v3.Cluster"
ENDPOINTS: Final = _TYPE + "envoy.config.endpoint.v3.ClusterLoadAssignment"
SCOPE: Final = _TYPE + "envoy.config.route.v3.ScopedRouteConfiguration"

_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_PREVIOUS_HOSTS: Final = "envoy.retry_host_predicates.previous_hosts"
_HOST_SELECTIONS: Final = 20
_FIRST_DELAY: Final = 0.005
_LONGEST_DELAY: Final = 0.4
"""Seconds; a server that came back is found within this."""
_LEAST_RETRIES: Final = 3
_FAILURES: Final = 2
"""In a row, after which an endpoint is left out for a while."""
_IPPROTO_TCP: Final = 6
_TCP_USER_TIMEOUT: Final = 18
MAX_IN_FLIGHT: Final = 4096
"""Per cluster; what is above is answered 503 at once instead of queueing without bound."""


class ResourceKey(NamedTuple):
    type_url: str
    name: str


def cluster(name: str, *, grpc: bool, asked_every: float | None = None) -> cluster_pb2.Cluster:
    """A cluster whose endpoints come over the same stream.

    `asked_every` is the time in seconds between questions whether a gRPC connection still stands; None for servers that
    would hang up on who asks during a long call.
    """
    made = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS, lb_policy=cluster_pb2.Cluster.LEAST_REQUEST)
    made.eds_cluster_config.eds_config.ads.SetInParent()
    made.eds_cluster_config.eds_config.resource_api_version = config_source_pb2.V3
    made.connect_timeout.FromMilliseconds(_ms(timing.CONNECT_SECONDS))
    _notice_silence(made)
    _leave_out_who_fails(made.outlier_detection)
    limits = circuit_breaker_pb2.CircuitBreakers.Thresholds()
    for limit in (limits.max_connections, limits.max_pending_requests, limits.max_requests, limits.max_retries):
        limit.value = MAX_IN_FLIGHT
    made.circuit_breakers.thresholds.append(limits)
    # A host that leaves must not take requests that the rest could answer, so panic routing is off.
    made.common_lb_config.healthy_panic_threshold.value = 0
    options = http_protocol_options_pb2.HttpProtocolOptions()
    # No request meets a connection that its server is just closing.
    options.common_http_protocol_options.idle_timeout.FromMilliseconds(_ms(timing.IDLE_SECONDS))
    if grpc:
        asking = options.explicit_http_config.http2_protocol_options.connection_keepalive
        asking.timeout.FromMilliseconds(_ms(timing.SILENT_UPSTREAM_SECONDS))
        asking.connection_idle_interval.FromMilliseconds(_ms(timing.QUIET_SECONDS))
        if asked_every is not None:
            asking.interval.FromMilliseconds(_ms(asked_every))
    else:
        options.explicit_http_config.http_protocol_options.SetInParent()
    made.typed_extension_protocol_options[_HTTP_OPTIONS].Pack(options)
    return made


def _notice_silence(made: cluster_pb2.Cluster) -> None:
    """A machine that is gone closes no connection; the kernel notices that it confirms nothing any more."""
    probing = made.upstream_connection_options.tcp_keepalive
    probing.keepalive_time.value = int(timing.UNACKNOWLEDGED_SECONDS / 2)
    probing.keepalive_interval.value = int(timing.UNACKNOWLEDGED_SECONDS / 4)
    probing.keepalive_probes.value = 2
    made.upstream_bind_config.socket_options.add(
        description="TCP_USER_TIMEOUT",
        level=_IPPROTO_TCP,
        name=_TCP_USER_TIMEOUT,
        int_value=_ms(timing.UNACKNOWLEDGED_SECONDS),
    )


def _leave_out_who_fails(policy: outlier_detection_pb2.OutlierDetection) -> None:
    """By failures to connect and broken connections alone: a model that answers 500 is not a server that is down.

    Never more than half, agents and servers of all replicas counted: somebody must be left to be tried again.
    """
    policy.split_external_local_origin_errors = True
    policy.consecutive_local_origin_failure.value = _FAILURES
    policy.max_ejection_percent.value = 50
    policy.interval.FromMilliseconds(_ms(timing.EJECTION_LOOK_SECONDS))
    policy.base_ejection_time.FromMilliseconds(_ms(timing.EJECTION_SECONDS))
    policy.max_ejection_time.FromMilliseconds(_ms(timing.LONGEST_EJECTION_SECONDS))
    for ignored in (
        policy.enforcing_consecutive_5xx,
        policy.enforcing_success_rate,
        policy.enforcing_consecutive_gateway_failure,
        policy.enforcing_local_origin_success_rate,
    ):
        ignored.value = 0


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


def try_elsewhere(policy: route_components_pb2.RetryPolicy, seconds: float) -> None:
    """At once at an endpoint that was not asked yet; when all fail, again and again for about so many seconds."""
    predicate = policy.retry_host_predicate.add(name=_PREVIOUS_HOSTS)
    predicate.typed_config.Pack(previous_hosts_pb2.PreviousHostsPredicate())
    # The load balancer likes the endpoint with the fewest requests, and one that is down has none.
    policy.host_selection_retry_max_attempts = _HOST_SELECTIONS
    policy.num_retries.value = retries_within(seconds)
    policy.retry_back_off.base_interval.FromMilliseconds(_ms(_FIRST_DELAY))
    policy.retry_back_off.max_interval.FromMilliseconds(_ms(_LONGEST_DELAY))


def retries_within(seconds: float) -> int:
    """How many retries take this long on the average: before each, Envoy waits a random part of a doubling time."""
    averages = (longest / 2 for longest in exponential(_FIRST_DELAY, _LONGEST_DELAY))
    return max(_LEAST_RETRIES, 1 + sum(1 for _ in takewhile(lambda waited: waited < seconds, accumulate(averages))))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
