"""Definitions for tests, in a few words."""

from typing import Any

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.definition import normalise


def step(name: str, *inputs: str, **settings: Any) -> pb.PipelineStep:
    return pb.PipelineStep(name=name, inputs=inputs, **settings)


def pipeline(name: str, *steps: pb.PipelineStep, **settings: Any) -> pb.Pipeline:
    """As a client would send it."""
    return pb.Pipeline(name=name, steps=steps, **settings)


def normal(name: str, *steps: pb.PipelineStep, **settings: Any) -> pb.Pipeline:
    return normalise(pipeline(name, *steps, **settings))
