"""What can go wrong, each with a sentence that names the field, its value and the fix.

SimplepipeError
├── InvalidMetrics      (ValueError)  metrics that are wrong; none of their list was pushed
├── InvalidFile         (ValueError)  a file that holds no list of metrics
├── InvalidArgument     (ValueError)  a job's name, a grouping key, an address, a setting
├── GatewayUnavailable  (OSError)     no answer from the Pushgateway before the deadline
├── GatewayRefused                    the Pushgateway answered, and refused
└── JobInUse                          another run holds the job under the same name and grouping key
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 10
"""Of a long list of problems, so many are told; the object holds all."""


class SimplepipeError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one metric."""

    index: int
    """Place in the list, from 0."""
    name: str
    """The metric's name as it was written; empty when it has none."""
    field: str
    said: str
    """What is wrong, and what to write instead."""

    def __str__(self) -> str:
        called = f" '{self.name}'" if self.name else ""
        return f"metric {self.index + 1}{called}: {self.field} {self.said}".strip()


class InvalidMetrics(SimplepipeError, ValueError):
    """Metrics that are wrong. `problems` has one entry for each, in the order of the list."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        told = [str(problem) for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            told.append(f"and {len(self.problems) - _SHOWN} more")
        super().__init__(f"invalid metrics, nothing was pushed: {'; '.join(told)}")


class InvalidFile(SimplepipeError, ValueError):
    """A file that cannot be read, or holds no list of metrics."""


class InvalidArgument(SimplepipeError, ValueError):
    """A job's name, a grouping key, an address or a setting that cannot be used."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        self.field = field
        super().__init__(f"invalid {field} {value!r}: {fix}")


class GatewayUnavailable(SimplepipeError, OSError):
    """The Pushgateway did not answer before the deadline. What was to be pushed is not there, or the whole of it is."""


class GatewayRefused(SimplepipeError):
    """The Pushgateway's refusal; `status` is its HTTP status. Nothing of the push is there."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class JobInUse(SimplepipeError):
    """Another run pushes under the same job and grouping key."""
