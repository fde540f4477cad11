"""The spans of what an agent does with a model, and for whom it does it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shared.tracing.context import Pairs
from shared.tracing.log_fields import of_request
from shared.tracing.spans import Span
from shared.tracing.tracer import Tracer

LOAD: Final = "LoadModel"
UNLOAD: Final = "UnloadModel"
DOWNLOAD: Final = "Download"
MODEL: Final = "seldon.model"
"""Attribute: the internal name."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request that passes through the agent: its span, and what log lines say about it."""

    span: Span
    log_fields: Mapping[str, str]

    @classmethod
    def of(cls, span: Span, headers: Pairs) -> "Request":
        """`headers` are those that the request travels on with."""
        return cls(span, of_request(headers))


def begin(tracer: Tracer, name: str, internal: str, request: Request | None) -> Span:
    """Begin work on a model: a part of the request that needs it, else a trace of its own."""
    about = {MODEL: internal}
    if request is None:
        return tracer.span(name, None, attributes=about)
    return tracer.below(request.span, name, attributes=about)
