"""Waiting for resources to be ready."""

from mlops.scheduler import scheduler_pb2 as pb

from services.cli.scheduler_client import SchedulerClient
from services.cli.statuses import latest_pipeline, model_state, pipeline_state
from services.cli.waiting import wait_until


def model_available(scheduler: SchedulerClient, name: str, state: str, timeout_seconds: float) -> None:
    """Wait until the newest version is in `state`."""
    wait_until(
        lambda: scheduler.model_status(name), lambda status: model_state(status) == state, "Model", timeout_seconds
    )


def pipeline_in(scheduler: SchedulerClient, name: str, state: str, timeout_seconds: float) -> pb.PipelineStatusResponse:
    """Wait until the newest version is in `state`."""
    return wait_until(
        lambda: scheduler.pipeline_status(name),
        lambda status: pipeline_state(latest_pipeline(status)) == state,
        "Pipeline",
        timeout_seconds,
    )


def experiment_active(scheduler: SchedulerClient, name: str, timeout_seconds: float) -> pb.ExperimentStatusResponse:
    return wait_until(
        lambda: scheduler.experiment_status(name), lambda status: status.active, "Experiment", timeout_seconds
    )
