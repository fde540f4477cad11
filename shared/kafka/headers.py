"""Headers of Kafka records. All values are UTF-8 text."""

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

Headers: TypeAlias = Sequence[tuple[str, bytes]]
"""In order; a name may be there more than once. Producers want a list, consumers give a tuple."""

PIPELINE: Final = "pipeline"
"""The resource that a record belongs to; records of several share a model's topics."""
PIPELINE_VERSION: Final = "x-pipeline-version"
ERROR: Final = "seldon-pipeline-errors"
"""Only on error records, whose value is the error's text: the model or pipeline that failed."""
ERROR_CODE: Final = "seldon-error-code"
"""On error records: the name of the status code. Without it nobody said whose fault it is: 400 / UNKNOWN."""
DEADLINE: Final = "seldon-deadline-ms"
"""Milliseconds since the epoch at which the caller stops waiting. Without it nobody waits for this record."""
BATCH: Final = "seldon-batch"
"""On a record that several requests were merged into, and on its result: who is in it, as `codec` in the dataflow."""
INFER_TYPE: Final = "seldon-infer-type"
"""How a producer encoded a record's value, when it says so."""
REQUEST_ID: Final = "x-request-id"
X_PREFIX: Final = "x-"
"""Headers of callers and of models that begin so travel with the records."""


def values(headers: Headers, name: str) -> list[bytes]:
    """Every value of one header."""
    return [value for header, value in headers if header == name]


def first(headers: Headers, name: str) -> bytes | None:
    for header, value in headers:
        if header == name:
            return value
    return None


def text(headers: Headers, name: str) -> str | None:
    """The first value as text; what is not UTF-8 is shown as such instead of failing."""
    found = first(headers, name)
    return None if found is None else found.decode(errors="replace")


def without(headers: Headers, names: Iterable[str]) -> list[tuple[str, bytes]]:
    dropped = frozenset(names)
    return [header for header in headers if header[0] not in dropped]
