"""Any JSON document as sentences and tables, for people."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_FIRST: Final = ("summary", "reason")
_NOTHING: Final = "-"
_EMPTY: Final[tuple[Any, ...]] = (None, "", [], {})


def render_facts(facts: Any) -> RenderableType:
    """What is said in words first, then a line for each value, then a table for each list of objects."""
    if not isinstance(facts, Mapping):
        return Text(_cell(facts))
    words = [Text(_cell(facts[name])) for name in _FIRST if facts.get(name)]
    lines: list[Text] = []
    tables: list[RenderableType] = []
    for name, value in facts.items():
        rest = value
        if isinstance(value, Mapping):
            tables += [_table(f"{_title(name)}: {_title(key)}", rows) for key, rows in value.items() if _is_rows(rows)]
            rest = {key: each for key, each in value.items() if not _is_rows(each)}
        elif _is_rows(value):
            tables.append(_table(_title(name), value))
            continue
        if name not in _FIRST and rest not in _EMPTY:
            lines.append(Text(f"{_title(name)}: {_cell(rest)}"))
    return Group(*words, *lines, *tables)


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(_title(name).lower(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in columns))
    return table


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _title(name: str) -> str:
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def _cell(value: Any) -> str:
    """Nested objects and lists in one line."""
    if value in _EMPTY:
        return _NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_title(name).lower()} {_cell(each)}" for name, each in value.items())
    if isinstance(value, list):
        separator = "\n" if _is_rows(value) else ", "
        return separator.join(map(_cell, value))
    return str(value)
