"""Habits of this command line: `--switch=false`, `-x=value`, `help COMMAND`, and a sentence for a bare group."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from shared.errors import InvalidInput

_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def parse_bool(name: str, text: str) -> bool:
    """The truth values that flags and variables take. Raises InvalidInput for any other text."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidInput.of_field(name, text, "use true or false")


def normalise(args: Sequence[str], switches: Mapping[str, str], valued: frozenset[str]) -> list[str]:
    """Spell out values given with `=`.

    `switches` maps each switch to the spelling that turns it off, empty when off is the default: `-o=false` becomes
    that spelling, `-o=true` the switch alone. `valued` holds short options with a value: `-i=10` becomes `-i 10`.
    All after `--` stays.
    """
    made: list[str] = []
    for position, arg in enumerate(args):
        if arg == "--":
            return [*made, *args[position:]]
        name, equals, value = arg.partition("=")
        if equals and name in switches:
            spelling = name if parse_bool(name, value) else switches[name]
            made += [spelling] if spelling else []
        elif equals and name in valued:
            made += [name, value]
        else:
            made.append(arg)
    return made


class Command(TyperCommand):
    """A command whose switches also take `=true` and `=false`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        switches: dict[str, str] = {}
        valued: set[str] = set()
        for option in self.params:
            if getattr(option, "is_flag", False):
                switches.update(dict.fromkeys(option.opts, "".join(option.secondary_opts)))
            else:
                valued.update(name for name in option.opts if not name.startswith("--"))
        parsed: list[str] = super().parse_args(ctx, normalise(args, switches, frozenset(valued)))
        return parsed


class Group(TyperGroup):
    """A group that must be followed by a subcommand, and takes `help [COMMAND...]`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        if not args and not ctx.resilient_parsing:
            if ctx.parent is not None:
                raise InvalidInput(f"{ctx.info_name} subcommand required")
            args = ["--help"]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed
