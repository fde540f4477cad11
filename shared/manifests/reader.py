"""From the text of a manifest file to resources the scheduler understands."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from mlops.scheduler.scheduler_pb2 import Experiment, Model, Pipeline
from pydantic import ValidationError

from shared.errors import InvalidInput
from shared.manifests.documents import read_documents
from shared.manifests.experiments import ExperimentManifest
from shared.manifests.models import ModelManifest
from shared.manifests.pipelines import PipelineManifest
from shared.manifests.strict import first_problem

_KINDS: Final[dict[str, type[ModelManifest | PipelineManifest | ExperimentManifest]]] = {
    "Model": ModelManifest,
    "Pipeline": PipelineManifest,
    "Experiment": ExperimentManifest,
}


@dataclass(frozen=True)
class Resource:
    """One document of a manifest."""

    document: int
    """Its place in the stream, from 1."""
    kind: str
    name: str
    message: Model | Pipeline | Experiment


def read_resources(text: str) -> Iterator[Resource]:
    """The resources of a multi-document YAML or JSON stream, in order.

    Documents are read as the result is consumed: a fault in one is raised when its turn comes.
    Raises InvalidInput, also when there is no document at all.
    """
    found = False
    for number, document in read_documents(text):
        found = True
        yield _resource(number, document)
    if not found:
        raise InvalidInput("no document found: give at least one Model, Pipeline or Experiment")


def _resource(number: int, document: Any) -> Resource:
    if not isinstance(document, dict):
        raise InvalidInput(f"document {number}: must be a mapping with apiVersion, kind, metadata and spec")
    kind = next((value for key, value in document.items() if str(key).lower() == "kind"), None)
    if not kind:
        raise InvalidInput(f"document {number}: kind: this field is required (Model, Pipeline or Experiment)")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InvalidInput(f"Unknown Seldon Kind {kind} - only Model, Pipeline and Experiment allowed")
    try:
        manifest = _KINDS[kind].model_validate(document)
    except ValidationError as error:
        raise InvalidInput(first_problem(error, number)) from None
    return Resource(number, kind, manifest.metadata.name, manifest.to_proto())
