"""The subset of Envoy's messages works together with the packages that own google.rpc and the well-known types."""

from pathlib import Path

from google.protobuf import any_pb2, struct_pb2
from google.rpc import code_pb2, status_pb2
from xds.config.route.v3 import route_components_pb2, scoped_route_pb2
from xds.extensions.filters.http.lua.v3 import lua_pb2
from xds.service.discovery.v3 import discovery_pb2


def test_a_refusal_carries_a_status_of_the_common_package() -> None:
    refusal = discovery_pb2.DeltaDiscoveryRequest(
        response_nonce="7",
        error_detail=status_pb2.Status(code=code_pb2.INVALID_ARGUMENT, message="duplicate route"),
    )
    read = discovery_pb2.DeltaDiscoveryRequest.FromString(refusal.SerializeToString())
    assert isinstance(read.error_detail, status_pb2.Status)
    assert read.error_detail.message == "duplicate route"


def test_generated_code_does_not_shadow_google_packages() -> None:
    generated = Path(discovery_pb2.__file__).parents[4]
    assert not (generated / "google").exists()


def test_a_typed_resource_survives_the_trip_through_any() -> None:
    context = struct_pb2.Struct()
    context.update({"model": "iris"})
    per_route = any_pb2.Any()
    per_route.Pack(lua_pb2.LuaPerRoute(filter_context=context))
    route = route_components_pb2.Route(
        name="iris",
        match=route_components_pb2.RouteMatch(prefix="/"),
        typed_per_filter_config={"lua": per_route},
    )
    scope = scoped_route_pb2.ScopedRouteConfiguration(name="iris")
    scope.key.fragments.add(string_key="iris")
    scope.route_configuration.virtual_hosts.add(name="all", domains=["*"], routes=[route])
    packed = any_pb2.Any()
    packed.Pack(scope)

    assert packed.type_url == "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration"
    response = discovery_pb2.DeltaDiscoveryResponse(
        resources=[discovery_pb2.Resource(name="iris", version="1", resource=packed)]
    )
    read = scoped_route_pb2.ScopedRouteConfiguration()
    assert (
        discovery_pb2.DeltaDiscoveryResponse.FromString(response.SerializeToString()).resources[0].resource.Unpack(read)
    )
    assert read == scope
