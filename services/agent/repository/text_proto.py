"""Reading protobuf's text format without its schema: fields, their values and where they stand in the text."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import InvalidInput

_TOKEN = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<word>[-+]?[A-Za-z0-9_.]+(?:(?<=[0-9.][eE])[-+][0-9]+)?)
      | (?P<extension>\[[A-Za-z0-9_./-]+\](?=\s*[:{<]))
      | (?P<mark>[{}<>\[\]:,;])""",
    re.VERBOSE,
)
_CLOSING = {"{": "}", "<": ">"}
_MAX_DEPTH = 64


@dataclass(frozen=True)
class Field:
    """One field. `value` is its text as written (strings with their quotes), or the fields of a message."""

    name: str
    value: "str | tuple[Field, ...]"
    start: int
    """Offset of the value in the text; `end` is behind it."""
    end: int


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int


def parse(text: str) -> tuple[Field, ...]:
    """The fields at the top; a list gives one field per element. Raises InvalidInput with the line that is wrong."""
    return _Parser(text).message(closing=None, depth=0)


def unquote(value: str) -> str:
    """A plain text from a string as written; escapes other than quotes and backslashes stay as they are."""
    return re.sub(r"\\([\\'\"])", r"\1", value[1:-1]) if value[:1] in ("'", '"') else value


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._scan())
        self._at = 0

    def _scan(self) -> Iterator[_Token]:
        position = 0
        while position < len(self._text):
            match = _TOKEN.match(self._text, position)
            if match is None:
                raise self._wrong(position, f"unexpected {self._text[position]!r}")
            if match.lastgroup != "space":
                yield _Token(str(match.lastgroup), match.group(), position, match.end())
            position = match.end()

    def _wrong(self, position: int, what: str) -> InvalidInput:
        return InvalidInput(f"not protobuf text format: line {self._text.count(chr(10), 0, position) + 1}: {what}")

    def _peek(self) -> _Token:
        if self._at < len(self._tokens):
            return self._tokens[self._at]
        return _Token("end", "", len(self._text), len(self._text))

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def message(self, closing: str | None, depth: int) -> tuple[Field, ...]:
        if depth > _MAX_DEPTH:
            raise self._wrong(self._peek().start, "nested too deeply")
        fields: list[Field] = []
        while True:
            token = self._next()
            if token.kind == "end" and closing is None:
                return tuple(fields)
            if token.text == closing and token.kind == "mark":
                return tuple(fields)
            if token.kind not in ("word", "extension"):
                raise self._wrong(token.start, f"expected a field name, found {token.text!r}")
            fields.extend(self._values(token.text, depth))
            if self._peek().text in (",", ";"):
                self._next()

    def _values(self, name: str, depth: int) -> Iterator[Field]:
        if self._peek().text == ":":
            self._next()
        elif self._peek().text not in ("{", "<", "["):
            raise self._wrong(self._peek().start, f"expected ':' behind {name}")
        if self._peek().text != "[":
            yield self._value(name, depth)
            return
        self._next()
        while self._peek().text != "]":
            yield self._value(name, depth)
            if self._peek().text == ",":
                self._next()
            elif self._peek().text != "]":
                raise self._wrong(self._peek().start, f"expected ',' or ']' in the list {name}")
        self._next()

    def _value(self, name: str, depth: int) -> Field:
        token = self._next()
        if token.kind == "mark" and token.text in _CLOSING:
            fields = self.message(_CLOSING[token.text], depth + 1)
            return Field(name, fields, token.start, self._tokens[self._at - 1].end)
        if token.kind == "string":
            # Neighbouring strings are one value.
            while self._peek().kind == "string":
                self._next()
            end = self._tokens[self._at - 1].end
            return Field(name, self._text[token.start : end], token.start, end)
        if token.kind == "word":
            return Field(name, token.text, token.start, token.end)
        raise self._wrong(token.start, f"expected a value of {name}, found {token.text!r}")
