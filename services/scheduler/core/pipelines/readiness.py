"""Whether the models that a pipeline needs can be used."""

from collections.abc import Iterator

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.summary import summarise
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.models.lifecycle import version_status
from services.scheduler.core.state import State


def unready_models(pipeline: pb.Pipeline, state: State, gateways: ModelGateways) -> Iterator[tuple[str, str]]:
    """Models of steps that cannot answer, each with the reason: a step is ready when its model is.

    A model that is being updated goes on answering with the version before.
    """
    for step in pipeline.steps:
        model = state.models.get(step.name)
        if model is None or model.deleted:
            yield step.name, "is not loaded"
        elif model.published.routed is None:
            summary = version_status(model, model.latest)
            yield step.name, f"is in state {summary.state.value}" + (f": {summary.reason}" if summary.reason else "")
        elif not is_fed(model.gateway):
            reason = summarise(gateways.fleet, gateways.key(model.name), model.gateway).reason
            yield step.name, f"is not connected to Kafka: {reason}"


def is_fed(gateway: Deployment) -> bool:
    """Whether a model gateway brings the model its records."""
    return any(assignment.served for assignment in gateway.assignments.values())
