"""Names of topics, consumer groups and record keys, and the rules they follow."""

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from shared.errors import InvalidInput
from shared.fnv import fnv1a_32

DEFAULT_PREFIX: Final = "seldon"
DEFAULT_NAMESPACE: Final = "default"
DEFAULT_MAX_CONSUMERS: Final = 100
MODEL_GATEWAY: Final = "seldon-modelgateway"
PIPELINE_GATEWAY: Final = "seldon-pipelinegateway"
_PREFIX = re.compile(r"[A-Za-z0-9._-]+")
_LONGEST_UID: Final = 16


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Topics of one installation. All pipelines that use a model share that model's two topics."""

    prefix: str = DEFAULT_PREFIX
    namespace: str = DEFAULT_NAMESPACE

    def __post_init__(self) -> None:
        for field, text in (("topicPrefix", self.prefix), ("namespace", self.namespace)):
            if _PREFIX.fullmatch(text) is None:
                raise InvalidInput.of_field(field, text, "use letters, digits, '.', '_' and '-'")

    def model_inputs(self, model: str) -> str:
        return f"{self.prefix}.{self.namespace}.model.{model}.inputs"

    def model_outputs(self, model: str) -> str:
        return f"{self.prefix}.{self.namespace}.model.{model}.outputs"

    def pipeline_inputs(self, pipeline: str) -> str:
        return f"{self.prefix}.{self.namespace}.pipeline.{pipeline}.inputs"

    def pipeline_outputs(self, pipeline: str) -> str:
        return f"{self.prefix}.{self.namespace}.pipeline.{pipeline}.outputs"

    @property
    def errors(self) -> str:
        """One topic for the errors of every model and pipeline."""
        return f"{self.prefix}.{self.namespace}.errors.errors"

    def split(self, topic: str) -> tuple[str, str, str] | None:
        """Kind (`model` or `pipeline`), resource and direction (`inputs` or `outputs`); None for any other topic."""
        head = f"{self.prefix}.{self.namespace}."
        parts = topic.removeprefix(head).split(".") if topic.startswith(head) else []
        if len(parts) != 3 or parts[0] not in ("model", "pipeline") or parts[2] not in ("inputs", "outputs"):
            return None
        return parts[0], parts[1], parts[2]


@dataclass(frozen=True, slots=True)
class GroupNames:
    """Consumer groups under which offsets are committed; lag tools show them by these names."""

    prefix: str = ""
    namespace: str = DEFAULT_NAMESPACE

    def gateway(self, kind: str, resource: str, max_consumers: int = DEFAULT_MAX_CONSUMERS) -> str:
        """The group of a resource at the gateways of a kind: resources with the same bucket share a group."""
        return self._named(f"{kind}-{bucket(resource, max_consumers)}")

    def dataflow(self, uid: str) -> str:
        """The group of one pipeline version."""
        short = uid if len(uid) <= _LONGEST_UID else _short_md5(uid)
        return self._named(f"seldon-dataflow-{short}")

    def _named(self, name: str) -> str:
        return "-".join(part for part in (self.prefix, self.namespace, name) if part)


def bucket(resource: str, max_consumers: int) -> int:
    """The name's hash modulo the number of buckets; scheduler and gateways have to agree on it."""
    return fnv1a_32(resource) % max_consumers


def _short_md5(text: str) -> str:
    """Hexadecimal without zero padding, as existing groups are named."""
    return f"{int(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(), 16):x}"


def record_key(partition: int, resource: str, request_id: str) -> bytes:
    """The key of a request's records on every topic it passes: it names the partition that all of them are in."""
    return f"{partition}.{resource}.{request_id}".encode()


def partition_of(key: bytes | None, partitions: int) -> int:
    """The partition that a record's key asks for; 0 for a key that names none or one that does not exist."""
    head = (key or b"").split(b".", 1)[0]
    if not head.isdigit():
        return 0
    return min(int(head[:9]), partitions - 1)
