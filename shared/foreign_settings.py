"""Flags and variables that deployments of such a system pass and that mean nothing, or something by another name, here.

Launchers written for it have to start these services: what has no effect is accepted, and said.
"""

import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

_FLAG: Final = re.compile(r"--?(?P<name>[A-Za-z][\w.-]+)(?:=(?P<value>.*))?", re.DOTALL)
_YES: Final = frozenset({"true", "t", "1"})
_NO: Final = frozenset({"false", "f", "0"})


class WithoutEffect(NamedTuple):
    """A setting that is accepted and changes nothing."""

    flag: str
    """Without dashes; empty when there is only the variable."""
    why: str
    """What is so instead."""
    variable: str = ""
    """One that ends in `*` stands for all that begin so."""
    switch: bool = False
    """A flag that never takes the argument behind it for its value."""


class Understood(NamedTuple):
    """`arguments` are the flags that are left to read; `notes` name what has no effect, with the reason."""

    arguments: list[str]
    notes: dict[str, str]


def understand(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    without_effect: Collection[WithoutEffect],
    other_names: Mapping[str, str],
    switches: Collection[str],
) -> Understood:
    """`other_names` are flags with the name that they have here, `switches` those that are true or false here.

    One dash is as good as two, dots in names are as good as dashes, and a switch may have a value.
    """
    by_flag = {setting.flag: setting for setting in without_effect if setting.flag}
    notes = {
        name: setting.why
        for setting in without_effect
        for name, value in environment.items()
        if value and _is_meant(name, setting.variable)
    }
    left: list[str] = []
    rest = deque(arguments)
    while rest:
        argument = rest.popleft()
        match = _FLAG.fullmatch(argument)
        if match is None:
            left.append(argument)
            continue
        name = match["name"].replace(".", "-")
        ignored = by_flag.get(name)
        if ignored is None:
            left.append(_written(other_names.get(name, name), match["value"], switches))
            continue
        notes[f"--{name}"] = ignored.why
        value_behind = match["value"] is None and not ignored.switch
        if value_behind and rest and _FLAG.fullmatch(rest[0]) is None:
            rest.popleft()
    return Understood(left, notes)


def _is_meant(name: str, variable: str) -> bool:
    return name.startswith(variable[:-1]) if variable.endswith("*") else name == variable


def _written(name: str, value: str | None, switches: Collection[str]) -> str:
    if value is None:
        return f"--{name}"
    if name in switches and value.lower() in _YES | _NO:
        return f"--{name}" if value.lower() in _YES else f"--no-{name}"
    return f"--{name}={value}"
