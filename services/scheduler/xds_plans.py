"""From any plan to Envoy's own resources."""

from google.protobuf.message import Message

from services.scheduler.routing import PipelinePlan, Plan
from services.scheduler.xds_models import model_resources
from services.scheduler.xds_pipelines import pipeline_resources
from services.scheduler.xds_resources import ResourceKey


def resources(scope: str, plan: Plan) -> dict[ResourceKey, Message]:
    """All of Envoy's resources for one value of the header `seldon-model`; empty when nothing can answer."""
    if isinstance(plan, PipelinePlan):
        return pipeline_resources(scope, plan)
    return model_resources(scope, plan)
