"""What every kind has: apiVersion, kind and metadata."""

from typing import Any, Literal

from mlops.scheduler.scheduler_pb2 import KubernetesMeta
from pydantic import Field

from shared.manifests.strict import StrictModel


class Metadata(StrictModel):
    """Kubernetes object metadata; only name, namespace and generation have an effect here."""

    name: str = Field(min_length=1)
    namespace: str = ""
    generation: int = Field(default=0, ge=0, le=2**63 - 1)
    generate_name: Any = None
    self_link: Any = None
    uid: Any = None
    resource_version: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    labels: Any = None
    annotations: Any = None
    owner_references: Any = None
    finalizers: Any = None
    managed_fields: Any = None

    def kubernetes_meta(self) -> KubernetesMeta:
        return KubernetesMeta(namespace=self.namespace, generation=self.generation)


class Manifest(StrictModel):
    """Base of every kind. `status` belongs to Kubernetes' operator and has no effect here."""

    api_version: Literal["mlops.seldon.io/v1alpha1"]
    kind: str
    metadata: Metadata
    status: Any = None


class Dataflow(StrictModel):
    clean_topics_on_delete: bool = False
