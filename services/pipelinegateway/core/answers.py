"""What the record that came back says: an answer, or the error of a model or of an engine."""

from typing import Final

from shared.errors import SeldonError
from shared.kafka import headers as kafka

_UNKNOWN: Final = "UNKNOWN"
_UNSAID: Final = 400
"""Of an error record without a code, or with one that is none."""
HTTP_STATUS: Final = {
    "CANCELLED": 499,
    _UNKNOWN: 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""By name of the gRPC code."""


class StepFailed(SeldonError):
    """An error record came back: `said` is the name of its code, if it has one of `HTTP_STATUS`."""

    def __init__(self, sentence: str, said: str | None = None) -> None:
        super().__init__(sentence)
        self.code_name: Final = _UNKNOWN if said is None else said
        self._status: Final = _UNSAID if said is None else HTTP_STATUS[said]

    @property
    def http_status(self) -> int:
        return self._status


class BadAnswer(SeldonError):
    """The record that came back is no inference response: 500 / INTERNAL."""


def code_name(error: SeldonError) -> str:
    """The name of the gRPC code that a caller gets for this error."""
    return error.code_name if isinstance(error, StepFailed) else error.code.name


def value_of(value: bytes | None, headers: kafka.Headers) -> bytes:
    """The serialised response in a record. Raises StepFailed for an error record, BadAnswer for one without a value."""
    failed = kafka.text(headers, kafka.ERROR)
    if failed is not None:
        text = (value or b"").decode(errors="replace")
        name = kafka.text(headers, kafka.ERROR_CODE)
        raise StepFailed(f"{failed} : {text}", name if name in HTTP_STATUS else None)
    if value is None:
        raise BadAnswer("the answer's record has no value")
    return value
