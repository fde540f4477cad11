"""Which log lines a process writes: one level for all, another for a component where somebody set one."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import InvalidInput

_NUMBERS: Final = {
    "critical": logging.CRITICAL,
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}
# The names that other parts of such a deployment use, in terms of the standard ones.
_OTHER_NAMES: Final = {
    "panic": "critical",
    "fatal": "critical",
    "emerg": "critical",
    "alert": "critical",
    "crit": "critical",
    "warn": "warning",
    "notice": "info",
    "trace": "debug",
}
KNOWN: Final = "panic, fatal, error, warn, info, debug, trace"
"""For sentences about a wrong one."""
_KEYS: Final = ("level", "components")


def standard_level(field: str, value: object) -> str:
    """A standard level name in lower case, from any of the names in use. Raises InvalidInput naming `field`."""
    name = value.lower() if isinstance(value, str) else ""
    name = _OTHER_NAMES.get(name, name)
    if name not in _NUMBERS:
        raise InvalidInput.of_field(field, value, f"use one of {KNOWN}")
    return name


@dataclass(frozen=True, slots=True)
class _Component:
    apply: Callable[[int], None]
    usual: int
    lowest: int


class Levels:
    """The levels of one process. Before `start`, everything is written."""

    def __init__(self) -> None:
        self._process = logging.NOTSET
        self._set: dict[str, int] = {}
        self._components: dict[str, _Component] = {}

    def add(
        self, name: str, apply: Callable[[int], None], usual: int = logging.NOTSET, lowest: int = logging.NOTSET
    ) -> None:
        """A component: `apply` is told each level it has to follow, as a number of the standard library.

        Without a level of its own it has the process's, but never one under `usual`; none may be set under `lowest`.
        """
        self._components[name] = _Component(apply, usual, lowest)
        apply(self._number(name))

    def start(self, level: str, **components: str) -> None:
        """The levels that the settings name; a component's is raised to the lowest that it may have."""
        self._process = _NUMBERS[level]
        self._set = {name: max(_NUMBERS[own], self._components[name].lowest) for name, own in components.items()}
        self._apply()

    def change(self, wanted: object) -> None:
        """`{"level": "info", "components": {"kafka": "debug", "rpc": null}}`, either or both; null takes a level back.

        Raises InvalidInput, and changes nothing then.
        """
        content = _object("levels", wanted, f"write a JSON object with {' or '.join(_KEYS)}")
        if not content or not content.keys() <= set(_KEYS):
            raise InvalidInput.of_field("keys", sorted(content), f"use {' or '.join(_KEYS)}")
        fix = "write a JSON object from component to level"
        own = {
            name: None if level is None else self._own_level(name, level)
            for name, level in _object("components", content.get("components", {}), fix).items()
            if self._known(name)
        }
        process = _NUMBERS[standard_level("level", content["level"])] if "level" in content else self._process
        self._process = process
        merged = {**self._set, **own}
        self._set = {name: level for name, level in merged.items() if level is not None}
        self._apply()

    def in_force(self) -> dict[str, Any]:
        """`level` of the process, each component's in `components`, and in `set` those that have one of their own."""
        components = sorted(self._components)
        return {
            "level": _name(self._process),
            "components": {name: _name(self._number(name)) for name in components},
            "set": {name: _name(self._set[name]) for name in components if name in self._set},
        }

    def _known(self, name: str) -> bool:
        if name not in self._components:
            raise InvalidInput.of_field("component", name, f"use one of {', '.join(sorted(self._components))}")
        return True

    def _own_level(self, name: str, level: object) -> int:
        field = f"components.{name}"
        number, lowest = _NUMBERS[standard_level(field, level)], self._components[name].lowest
        if number < lowest:
            fix = f"use {_name(lowest)} or higher: below it libraries write whole requests and records"
            raise InvalidInput.of_field(field, level, fix)
        return number

    def _number(self, name: str) -> int:
        return self._set.get(name, max(self._process, self._components[name].usual))

    def _apply(self) -> None:
        for name, component in self._components.items():
            component.apply(self._number(name))


def _name(number: int) -> str:
    return next((name for name, level in _NUMBERS.items() if number >= level), "debug")


def _object(field: str, value: object, fix: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidInput.of_field(field, value, fix)
    return value
