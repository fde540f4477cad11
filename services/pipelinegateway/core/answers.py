"""What the record that came back says: an answer, or the error of a model or of an engine."""

from typing import Final

from shared.errors import SeldonError
from shared.kafka import headers as kafka

_UNKNOWN: Final = "UNKNOWN"
HTTP_STATUS: Final = {
    "CANCELLED": 499,
    _UNKNOWN: 400,
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
"""By name of the gRPC code. A model's own error is UNKNOWN, and to REST callers a bad request."""


class StepFailed(SeldonError):
    """An error record came back: `code_name` is its code's name, one of `HTTP_STATUS`."""

    def __init__(self, sentence: str, code_name: str = _UNKNOWN) -> None:
        super().__init__(sentence)
        self.code_name = code_name

    @property
    def http_status(self) -> int:
        return HTTP_STATUS[self.code_name]


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
        raise StepFailed(f"{failed} : {text}", name if name in HTTP_STATUS else _UNKNOWN)
    if value is None:
        raise BadAnswer("the answer's record has no value")
    return value
