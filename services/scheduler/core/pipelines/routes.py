"""From the state of a pipeline at its gateways to the plan that Envoy is given."""

from services.scheduler.core.members.deployment import Phase
from services.scheduler.core.pipelines.state import Pipeline, Pipelines
from services.scheduler.core.routing import NO_GATEWAY, PipelinePlan

_SERVING = frozenset({Phase.STARTING, Phase.READY, Phase.REBALANCING, Phase.FAILED})


def plan_gateways(pipelines: Pipelines, pipeline: Pipeline) -> PipelinePlan:
    """The plan that fits as things are now.

    A pipeline gets its route when a gateway and an engine are ready, and keeps it until it is unloaded: when nobody
    holds it for a while, callers are told so by the gateways that are back soon.
    """
    if pipeline.is_ending:
        return NO_GATEWAY
    if not pipelines.gateways.released:
        return pipeline.published  # as it was before a restart
    if pipeline.published == NO_GATEWAY and not _ran_once(pipeline):
        return NO_GATEWAY
    owners = pipelines.gateways.owners(pipelines.gateway_key(pipeline.name))
    serving = {
        member
        for member, assignment in pipeline.gateway.assignments.items()
        if assignment.served and assignment.phase in _SERVING
    }
    chosen = serving if serving - set(owners) and not serving.issuperset(owners) else serving.intersection(owners)
    addresses = {
        (address.host, address.http_port, address.grpc_port)
        for member in chosen
        if (address := pipelines.gateways.members[member].address) is not None
    }
    return PipelinePlan(tuple(sorted(addresses))) if addresses else pipeline.published


def routed_members(pipelines: Pipelines, pipeline: Pipeline) -> frozenset[str]:
    """Gateways that some Envoy may send requests to."""
    addressed = {
        (member.address.host, member.address.http_port, member.address.grpc_port): member.name
        for member in pipelines.gateways.members.values()
        if member.address is not None
    }
    offered = pipeline.offered
    return frozenset(name for address, name in addressed.items() if offered is None or address in offered)


def _ran_once(pipeline: Pipeline) -> bool:
    """An engine that is connected was ready for one of the versions."""
    return any(
        assignment.served
        for version in pipeline.versions.values()
        for assignment in version.engine.assignments.values()
    )
