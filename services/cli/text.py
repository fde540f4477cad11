"""How things look on the terminal: tables and re-indented JSON. No input or output here."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

_TAB: Final = 8
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+')


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells at tab stops, under each header a dash per letter; the last column is not padded."""
    lines = [list(header), ["-" * len(name) for name in header], *map(list, rows)]
    # One character of padding, rounded up to a tab stop.
    stops = [(max(len(line[column]) for line in lines) + _TAB) // _TAB for column in range(len(header) - 1)]
    return "\n".join("".join(_padded(line, stops)) for line in lines)


def _padded(line: Sequence[str], stops: Sequence[int]) -> Iterator[str]:
    for cell, stop in zip(line, stops, strict=False):
        yield cell + "\t" * (stop - len(cell) // _TAB)
    yield line[-1]


def reindent(body: str) -> str:
    """JSON with one value a line, indented by tabs; numbers and strings keep their spelling.

    Text that is no JSON comes back as it is.
    """
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return body
    return "".join(_indented(_TOKEN.findall(body)))


def _indented(tokens: Sequence[str]) -> Iterator[str]:
    depth = 0
    previous = ""
    for token in tokens:
        if token in ("]", "}"):
            depth -= 1
            if previous not in ("[", "{"):
                yield "\n" + "\t" * depth
        elif previous in ("[", "{", ","):
            yield "\n" + "\t" * depth
        if token in ("[", "{"):
            depth += 1
        yield ": " if token == ":" else token
        previous = token
