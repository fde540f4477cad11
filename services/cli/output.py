"""Where a command's output goes: to people as tables and text, to programs as JSON."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from google.protobuf.message import Message

Listed = TypeVar("Listed", bound="Message")


def show(text: str) -> None:
    """One piece of output, at once: the next one may be seconds away."""
    print(text, flush=True)


def show_message(message: "Message") -> None:
    from services.cli.proto_text import proto_json

    show(proto_json(message))


def show_list(messages: Sequence[Listed], output: str, table: Callable[[Sequence[Listed]], str]) -> None:
    """All of them as one table, or each as JSON."""
    if output == "table":
        show(table(messages))
        return
    for message in messages:
        show_message(message)


def note(text: str) -> None:
    """Something for people that is no output."""
    print(text, file=sys.stderr, flush=True)
