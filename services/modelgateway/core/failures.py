"""Inference calls that failed, as the text and headers of an error record."""

from dataclasses import dataclass
from typing import Final

_LONGEST_TEXT: Final = 64 * 1024
_UNTYPED: Final = "expected bytes"
"""In the words of protobuf: the server has half-precision numbers, which it has no field of typed contents for."""
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
    def answers_raw_only(self) -> bool:
        """Whether the server failed to write its answer as typed contents, which it does when it was asked so."""
        return self.code == "INTERNAL" and _UNTYPED in self.details


def camel_case(code: str) -> str:
    """The name of a gRPC code as error texts spell it: `InvalidArgument`."""
    return _SPELLINGS.get(code) or code.title().replace("_", "")
