"""Triton's `config.pbtxt`: what the agent has to know of it, and another name for the model."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf import text_format
from inference_server.triton_pb2 import InstanceGroup, ModelConfig

from shared.errors import InvalidInput

_TWO_BY_DEFAULT: Final = ("tensorflow", "onnxruntime")
_OPENING: Final = frozenset("{<[")
_CLOSING: Final = frozenset("}>]")
_QUOTES: Final = ('"', "'")


def parse_config(text: str) -> ModelConfig:
    """The fields that matter here; others are skipped. Raises InvalidInput with the line that is wrong."""
    try:
        return text_format.Parse(_with_colons(text), ModelConfig(), allow_unknown_field=True)
    except text_format.ParseError as error:
        raise InvalidInput(f"config.pbtxt is not protobuf text format: {_told(error)}") from None
    except RecursionError:
        raise InvalidInput("config.pbtxt is not protobuf text format: it is nested too deeply") from None


def _told(error: text_format.ParseError) -> str:
    line = error.GetLine()
    return str(error) if line is None else f"line {line}: {str(error).partition(' : ')[2]}"


def _with_colons(text: str) -> str:
    """The same text with `field: [` for `field [`: without the colon, the parser does not skip an unknown list."""
    pieces, done = [], 0
    before: tuple[str, str] = ("", "")
    for token, start in _tokens(text):
        if token == "[" and before[1].isidentifier() and before[0] != ":":
            pieces += [text[done:start], ":"]
            done = start
        before = before[1], token
    return "".join([*pieces, text[done:]])


def with_name(text: str, internal: str) -> str:
    """The same text with its own `name` set to `internal`; all other characters stay. Raises InvalidInput."""
    parse_config(text)
    span = _name_span(_tokens(text))
    if span is None:
        return f'name: "{internal}"\n{text}'
    start, end = span
    return f'{text[:start]}"{internal}"{text[end:]}'


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """Each token with its offset in the text. Raises ParseError."""
    lines = text.split("\n")
    starts = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
    tokenizer = text_format.Tokenizer(lines)
    while not tokenizer.AtEnd():
        # Where a token stands is what the tokenizer tells for a sentence about it.
        place = tokenizer.ParseError("")  # type: ignore[arg-type]  # the stub is wrong: it takes a text
        line, column = place.GetLine() or 1, place.GetColumn() or 1
        yield tokenizer.token, starts[line - 1] + column - 1
        tokenizer.NextToken()


def _name_span(tokens: Iterable[tuple[str, int]]) -> tuple[int, int] | None:
    """From where to where the value of the model's own name goes, of a text that was parsed: there is one at most."""
    depth, before, in_name = 0, "", False
    span: tuple[int, int] | None = None
    for token, start in tokens:
        if in_name and token != ":":
            if not token.startswith(_QUOTES):
                return span
            # Neighbouring strings are one value.
            span = (span[0] if span else start, start + len(token))
        elif not in_name:
            depth += (token in _OPENING) - (token in _CLOSING)
            in_name = depth == 0 and token == "name" and before != ":"
        before = token
    return span


def cpu_instances(config: ModelConfig) -> int:
    """Copies of the model in main memory: the first CPU instance group's count, or the backend's own default."""
    for group in config.instance_group:
        if group.kind == InstanceGroup.KIND_CPU:
            if group.count > 0:
                return group.count
            return 2 if any(name.startswith(_TWO_BY_DEFAULT) for name in (config.backend, config.platform)) else 1
    return 1
