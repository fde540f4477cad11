"""Inference calls that failed, as the text and headers of an error record."""

from dataclasses import dataclass
from typing import Final

_LONGEST_TEXT: Final = 64 * 1024
_NOT_THE_MODELS_OWN: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
"""Nothing is wrong with the request when these come: callers are told so and may try again."""
_SPELLINGS: Final = {"OK": "OK", "CANCELLED": "Canceled"}


@dataclass(frozen=True, slots=True)
class Failure:
    """`code` is the name of a gRPC code, as in `INVALID_ARGUMENT`; `details` are the server's words."""

    code: str
    details: str

    @property
    def text(self) -> str:
        """What callers read."""
        return f"rpc error: code = {camel_case(self.code)} desc = {self.details[:_LONGEST_TEXT]}"

    @property
    def code_for_callers(self) -> str | None:
        """The code that callers get; None for a model's own error, which has a code of its own."""
        return self.code if self.code in _NOT_THE_MODELS_OWN else None


def camel_case(code: str) -> str:
    """The name of a gRPC code as error texts spell it: `InvalidArgument`."""
    return _SPELLINGS.get(code) or code.title().replace("_", "")
