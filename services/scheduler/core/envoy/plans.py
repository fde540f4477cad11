"""From any plan to Envoy's own resources."""

from google.protobuf.message import Message

from services.scheduler.core.envoy.models import model_resources
from services.scheduler.core.envoy.pipelines import pipeline_resources
from services.scheduler.core.envoy.resources import ResourceKey
from services.scheduler.core.routing import PipelinePlan, Plan


def resources(scope: str, plan: Plan) -> dict[ResourceKey, Message]:
    """All of Envoy's resources for one value of the header `seldon-model`; empty when nothing can answer."""
    if isinstance(plan, PipelinePlan):
        return pipeline_resources(scope, plan)
    return model_resources(scope, plan)
