"""The way to the version 1 gateway: one scope that is always there, over clusters of Envoy's own bootstrap."""

from typing import Final

from google.protobuf.message import Message
from xds.config.route.v3 import route_components_pb2

from services.scheduler.core.envoy.resources import SCOPE, ResourceKey, scope, try_elsewhere
from shared import timing

NAME: Final = ".v1"
"""What Envoy's Lua makes of the header seldon-model on calls of these protocols; no model can be named so."""
_CLUSTERS: Final = {
    "/seldon.protos.": "v1_gateway_grpc",
    "/tensorflow.serving.": "v1_gateway_grpc",
    "/": "v1_gateway_http",
}


def version1_resources() -> dict[ResourceKey, Message]:
    """Nothing in them depends on models or pipelines: the gateway asks for those through Envoy again."""
    return {ResourceKey(SCOPE, NAME): scope(NAME, map(_route, _CLUSTERS))}


def _route(prefix: str) -> route_components_pb2.Route:
    made = route_components_pb2.Route(name=f"{NAME}{prefix}")
    made.match.prefix = prefix
    made.route.cluster = _CLUSTERS[prefix]
    # The gateway has a limit of its own.
    made.route.timeout.SetInParent()
    made.route.retry_policy.retry_on = "connect-failure,refused-stream"
    try_elsewhere(made.route.retry_policy, timing.RETRY_SECONDS)
    return made
