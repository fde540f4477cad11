"""From any plan to Envoy's own resources."""

from google.protobuf.message import Message

from services.scheduler.core.envoy.models import model_resources
from services.scheduler.core.envoy.pipelines import pipeline_resources
from services.scheduler.core.envoy.resources import ResourceKey
from services.scheduler.core.routing import PipelinePlan, Plan
from shared import timing


def resources(scope: str, plan: Plan, retry_seconds: float = timing.RETRY_SECONDS) -> dict[ResourceKey, Message]:
    """All of Envoy's resources for one value of the header `seldon-model`; empty when nothing can answer.

    `retry_seconds` is for how long a connection that fails everywhere is tried again.
    """
    if isinstance(plan, PipelinePlan):
        return pipeline_resources(scope, plan, retry_seconds)
    return model_resources(scope, plan, retry_seconds)
