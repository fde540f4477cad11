"""What goes into the flow of a pipeline and what comes out of it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from shared.kafka.headers import Headers


class Place(NamedTuple):
    """Where a record stands in the log."""

    topic: str
    partition: int
    offset: int


class Arrival(NamedTuple):
    """A record that was read."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Emission(NamedTuple):
    """A record to write."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a record, for log and metric; whoever waits for an answer gets an error besides."""

    kind: str
    """`no_key`, `unparsable`, `invalid_tensors`, `key_in_use`, `batch_header`, `unknown_step` or `internal`."""
    sentence: str
    headers: Headers = ()
    """Of the record, or of the request."""
    cause: Exception | None = None
    """What was raised that should not have been."""


@dataclass(slots=True)
class Outcome:
    emissions: list[Emission] = field(default_factory=list)
    finished: list[Place] = field(default_factory=list)
    """Records that need nothing any more once all emissions so far are acknowledged."""
    problems: list[Problem] = field(default_factory=list)
