"""Manifests (YAML or JSON) of models, pipelines and experiments, read into the scheduler's messages."""

from shared.manifests.reader import Resource, read_resources

__all__ = ["Resource", "read_resources"]
