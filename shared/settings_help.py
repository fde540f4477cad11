"""What `--help` of a service says: every option once, with its meaning, its variables and its default."""

import sys
from argparse import Action, ArgumentParser
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

_METAVARS: Final = {int: "NUMBER", float: "NUMBER", Path: "PATH"}


def program_of(settings: type[BaseModel]) -> str:
    """How the service is started whose package has these settings."""
    return f"python -m {_package(settings)}"


def describe(parser: ArgumentParser, settings: type[BaseModel]) -> None:
    """Say what the options mean; what the parser takes stays the same.

    It also takes the variables of a field for flags, and the name of the field, but nobody has to know.
    """
    parser.usage = "%(prog)s [OPTIONS]"
    text = getattr(sys.modules.get(_package(settings)), "__doc__", None) or ""
    parser.description = text.strip().partition("\n\n")[0]
    fields = {f"--{_names(field)[0]}": field for field in settings.model_fields.values() if _names(field)}
    # argparse has no other way to its options than this, and no other library reads them for pydantic.
    for action in parser._actions:
        flag = next((name for name in action.option_strings if name in fields), None)
        if flag is not None:
            _describe(action, flag, fields[flag])


def _describe(action: Action, flag: str, field: FieldInfo) -> None:
    negative = f"--no-{flag.removeprefix('--')}"
    action.option_strings = [flag, *([negative] if negative in action.option_strings else [])]
    if action.nargs != 0:
        action.metavar = _metavar(field.annotation)
    variables = " or ".join(_names(field)[1:])
    also = f"Also {variables}; " if variables else ""
    meaning = " ".join((field.description or "").split())
    default = _written(field.default)
    known = f"{also}default {default}." if default else f"{also}not set by default."
    # A percent sign would be taken for one of argparse's own.
    action.help = f"{meaning} {known[0].upper()}{known[1:]}".replace("%", "%%")


def _metavar(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(member.value for member in annotation)
    values = get_args(annotation)
    if values and all(isinstance(value, str) for value in values):
        return "|".join(values)
    kinds = {annotation, *values}
    return next((name for kind, name in _METAVARS.items() if kind in kinds), "TEXT")


def _written(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, Enum):
        return str(default.value)
    return "" if default is None else str(default)


def _names(field: FieldInfo) -> list[str]:
    """The flag without dashes, then its variables."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []


def _package(settings: type[BaseModel]) -> str:
    return settings.__module__.rpartition(".")[0]
