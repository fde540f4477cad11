"""Errors that carry their own status for REST and gRPC alike.

    SeldonError
    ├── InvalidInput        bad field in a request or manifest   400 / INVALID_ARGUMENT
    ├── RejectedRequest     the control plane refuses it         400 / FAILED_PRECONDITION
    ├── NotFound            no such resource                     404 / NOT_FOUND
    ├── NotImplementedYet   part of the API without a behaviour  501 / UNIMPLEMENTED
    ├── Unavailable         a part it needs does not answer      503 / UNAVAILABLE
    ├── DeadlineExceeded    a part it needs was too slow         504 / DEADLINE_EXCEEDED
    ├── PayloadTooLarge     a message above the limit            413 / RESOURCE_EXHAUSTED
    ├── Overloaded          too much in flight already           503 / RESOURCE_EXHAUSTED
    └── StateConflict       an event that does not fit the state 500 / INTERNAL

A service raises these from anywhere; its transport turns them into a status and a sentence once, at the edge.
The module is free of grpc and HTTP libraries so that the pure cores may raise them.
"""

from enum import Enum
from typing import ClassVar


class Code(Enum):
    """Canonical status codes, named as in gRPC; the value is the code's number there."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14

    @property
    def http_status(self) -> int:
        return _HTTP_STATUS[self]


_HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.NOT_FOUND: 404,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.INTERNAL: 500,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


class SeldonError(Exception):
    """Base of every error with a meaning for the caller. `str(error)` is the sentence the caller reads."""

    code: ClassVar[Code] = Code.INTERNAL
    retry_after: ClassVar[int | None] = None
    """Seconds after which the same call may succeed, where that is known."""

    @property
    def http_status(self) -> int:
        return self.code.http_status


class InvalidInput(SeldonError):
    """A request or manifest has a wrong field."""

    code = Code.INVALID_ARGUMENT

    @classmethod
    def of_field(cls, field: str, value: object, fix: str) -> "InvalidInput":
        """The standard sentence: which field, which value, what to write instead."""
        return cls(f"invalid {field} {value!r}: {fix}")


class RejectedRequest(SeldonError):
    """The control plane refuses a request; clients treat FAILED_PRECONDITION as final and do not retry it."""

    code = Code.FAILED_PRECONDITION


class NotFound(SeldonError):
    code = Code.NOT_FOUND


class NotImplementedYet(SeldonError):
    code = Code.UNIMPLEMENTED


class Unavailable(SeldonError):
    code = Code.UNAVAILABLE


class DeadlineExceeded(SeldonError):
    code = Code.DEADLINE_EXCEEDED


class PayloadTooLarge(SeldonError):
    code = Code.RESOURCE_EXHAUSTED

    @property
    def http_status(self) -> int:
        return 413


class Overloaded(SeldonError):
    code = Code.RESOURCE_EXHAUSTED
    retry_after = 1

    @property
    def http_status(self) -> int:
        return 503


class StateConflict(SeldonError):
    code = Code.INTERNAL
