"""Which pipeline or model a request is for: its headers say so, else its path."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from shared.errors import NotFound, RejectedRequest
from shared.names import HEADER_INTERNAL_MODEL, HEADER_MODEL

_PATH: Final = re.compile(
    r"/v2/(?P<kind>models|pipelines)/(?P<name>[^/]+)(?P<version>/versions/[^/]+)?(?P<rest>/[^/]+)?/?"
)
_NAME: Final = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_]*")


class Kind(Enum):
    PIPELINE = "pipeline"
    MODEL = "model"
    """A model's own topics, without any pipeline: its input is written and its output read."""


class Verb(Enum):
    INFER = "/infer"
    READY = "/ready"
    METADATA = ""


_VERBS: Final = frozenset(verb.value for verb in Verb)


@dataclass(frozen=True, slots=True)
class Resource:
    kind: Kind
    name: str

    def __str__(self) -> str:
        return f"{self.kind.value} {self.name}"


@dataclass(frozen=True, slots=True)
class Path:
    """A path below /v2; the version in it, if any, has no effect."""

    resource: Resource
    verb: Verb


def parse_path(path: str) -> Path:
    """Raises NotFound for a path that nothing answers."""
    found = _PATH.fullmatch(path)
    rest: str = (found["rest"] or "") if found else ""
    if found is None or rest not in _VERBS:
        raise NotFound(f"nothing answers {path}: see /v2/pipelines/NAME/infer, .../ready and /v2/pipelines/NAME")
    kind = Kind.PIPELINE if found["kind"] == "pipelines" else Kind.MODEL
    return Path(Resource(kind, found["name"]), Verb(rest))


def route_of(path: str) -> str:
    """What all paths like this one have in common: `/v2/models/{model_name}/infer`. Empty for one of no resource."""
    found = _PATH.fullmatch(path)
    if found is None:
        return ""
    kind = found["kind"].removesuffix("s")
    version = f"/versions/{{{kind}_version}}" if found["version"] else ""
    return f"/v2/{found['kind']}/{{{kind}_name}}{version}{found['rest'] or ''}"


def resource_of(headers: Iterable[tuple[str, bytes]], default: Resource | None) -> Resource:
    """What the last `seldon-internal-model` names, else the last `seldon-model`, else `default`.

    `headers` have lower-case names. Raises RejectedRequest when neither says it.
    """
    internal = external = b""
    for name, value in headers:
        if name == HEADER_INTERNAL_MODEL:
            internal = value or internal
        elif name == HEADER_MODEL:
            external = value or external
    # A router between may have joined several values into one.
    chosen = (internal or external).decode("latin-1").rpartition(",")[2].strip()
    if chosen:
        return _parse(chosen, HEADER_INTERNAL_MODEL if internal else HEADER_MODEL)
    if default is None:
        raise RejectedRequest(
            f"no pipeline is named: send {HEADER_MODEL}: NAME.pipeline, or NAME for a model, as metadata"
        )
    return default


def _parse(text: str, header: str) -> Resource:
    name, _, suffix = text.partition(".")
    kind = {"": Kind.MODEL, "model": Kind.MODEL, "pipeline": Kind.PIPELINE}.get(suffix)
    if kind is None or _NAME.fullmatch(name) is None:
        raise RejectedRequest(f"invalid {header} {text!r}: use NAME.pipeline for a pipeline or NAME for a model")
    return Resource(kind, name)
