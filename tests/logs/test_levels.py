"""Levels of a process and of its components."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.log_levels import Levels, standard_level

NAMES = ("debug", "info", "warning", "error", "critical")
NUMBERS = {name: getattr(logging, name.upper()) for name in NAMES}


class Process:
    """Two components of its own, and a library."""

    def __init__(self) -> None:
        self.told: dict[str, int] = {}
        self.levels = Levels()
        for name in ("app", "kafka"):
            self.levels.add(name, lambda number, name=name: self.told.__setitem__(name, number))  # type: ignore[misc]
        self.levels.add("lib", lambda number: self.told.__setitem__("lib", number), logging.WARNING, logging.INFO)


def test_everything_is_written_before_the_start() -> None:
    assert Process().told == {"app": logging.NOTSET, "kafka": logging.NOTSET, "lib": logging.WARNING}


def test_components_follow_the_process_except_where_one_is_set() -> None:
    process = Process()
    process.levels.start("info")
    assert process.told == {"app": logging.INFO, "kafka": logging.INFO, "lib": logging.WARNING}
    process.levels.change({"components": {"kafka": "debug", "lib": "info"}})
    process.levels.change({"level": "error"})
    assert process.told == {"app": logging.ERROR, "kafka": logging.DEBUG, "lib": logging.INFO}
    assert process.levels.in_force() == {
        "level": "error",
        "components": {"app": "error", "kafka": "debug", "lib": "info"},
        "set": {"kafka": "debug", "lib": "info"},
    }
    process.levels.change({"level": "debug", "components": {"kafka": None, "lib": None}})
    assert process.told == {"app": logging.DEBUG, "kafka": logging.DEBUG, "lib": logging.WARNING}
    assert process.levels.in_force()["set"] == {}


def test_a_component_that_comes_later_follows_too() -> None:
    process = Process()
    process.levels.start("error")
    process.levels.add("late", lambda number: process.told.__setitem__("late", number))
    assert process.told["late"] == logging.ERROR


def test_a_setting_cannot_make_a_library_tell_secrets() -> None:
    process = Process()
    process.levels.start("debug", lib="debug")
    assert process.told["lib"] == logging.INFO


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ([], "levels"),
        ({}, "level or components"),
        ({"levels": "info"}, "level or components"),
        ({"level": "loud"}, "invalid level 'loud': use one of panic"),
        ({"level": None}, "invalid level None"),
        ({"level": 3}, "invalid level 3"),
        ({"components": ["kafka"]}, "invalid components"),
        ({"components": {"kofka": "info"}}, "invalid component 'kofka': use one of app, kafka, lib"),
        ({"components": {"kafka": "loud"}}, "invalid components.kafka 'loud'"),
        ({"components": {"lib": "debug"}}, "invalid components.lib 'debug': use info or higher"),
        ({"level": "debug", "components": {"kafka": 1}}, "invalid components.kafka 1"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(wanted: object, said: str) -> None:
    process = Process()
    process.levels.start("info")
    before = process.levels.in_force()
    with pytest.raises(InvalidInput) as caught:
        process.levels.change(wanted)
    assert said in str(caught.value)
    assert process.levels.in_force() == before


@pytest.mark.parametrize(
    ("written", "standard"),
    [("PANIC", "critical"), ("Fatal", "critical"), ("emerg", "critical"), ("warn", "warning"), ("trace", "debug"),
     ("notice", "info"), ("INFO", "info"), ("crit", "critical"), ("alert", "critical")],
)  # fmt: skip
def test_all_names_in_use(written: str, standard: str) -> None:
    assert standard_level("level", written) == standard


_change = st.fixed_dictionaries(
    {},
    optional={
        "level": st.sampled_from(NAMES),
        "components": st.dictionaries(st.sampled_from(("app", "kafka")), st.sampled_from(NAMES) | st.none()),
    },
).filter(bool)


@given(st.lists(_change, max_size=6))
def test_any_changes_end_in_the_last_word_on_each(changes: list[dict[str, Any]]) -> None:
    process = Process()
    process.levels.start("info")
    level, own = "info", dict[str, str | None]()
    for change in changes:
        process.levels.change(change)
        level = change.get("level", level)
        own |= change.get("components", {})
    for name in ("app", "kafka"):
        wanted = own.get(name) or level
        assert process.told[name] == NUMBERS[wanted]
        assert process.levels.in_force()["components"][name] == wanted
