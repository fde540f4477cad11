"""What is collected: exactly the listed fields, level by level, and the page that says so."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.hodometer.core.fields import FIELDS, Level, Value, fill

CLUSTER = {
    "collector_version": "0.1.0",
    "collector_git_commit": "abc",
    "cluster_id": "7d8e1a0e-8d54-4c63-9c2f-5f5b6b1d6f11",
    "seldon_core_version": "2.10.0",
    "kubernetes_version": "v1.29.3",
}
RESOURCE = {
    "model_count": 1,
    "pipeline_count": 2,
    "experiment_count": 3,
    "server_count": 4,
    "server_replica_count": 5,
}
FEATURE = {
    "multimodel_enabled_count": 6,
    "overcommit_enabled_count": 7,
    "gpu_enabled_count": 8,
    "server_cpu_cores_sum": 9.5,
    "server_memory_gb_sum": 10.5,
}
EVERYTHING: dict[str, Value] = {**CLUSTER, **RESOURCE, **FEATURE}
NAMES = [*CLUSTER, *RESOURCE, *FEATURE]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "usage.md"


@pytest.mark.parametrize(
    ("level", "sent"),
    [
        (Level.CLUSTER, CLUSTER),
        (Level.RESOURCE, CLUSTER | RESOURCE),
        (Level.FEATURE, CLUSTER | RESOURCE | FEATURE),
    ],
)
def test_every_level_sends_the_same_keys_and_zeros_above_itself(level: Level, sent: dict[str, Value]) -> None:
    filled = fill(level, EVERYTHING)
    assert list(filled) == NAMES
    assert filled == {name: sent.get(name, 0) for name in NAMES}


@settings(deadline=None)
@given(collected=st.dictionaries(st.sampled_from([*NAMES, "model_name", "host"]), st.integers(1, 9)))
def test_a_level_is_a_superset_of_those_before_it(collected: dict[str, Value]) -> None:
    lower: dict[str, Value] = {}
    for level in Level:
        filled = fill(level, collected)
        assert list(filled) == NAMES
        assert {name: value for name, value in filled.items() if value}.items() >= lower.items()
        lower = {name: value for name, value in filled.items() if value}
    assert lower == {name: value for name, value in collected.items() if name in NAMES}


def test_what_was_not_collected_has_the_type_of_its_field() -> None:
    assert {name: type(value) for name, value in fill(Level.FEATURE, {}).items()} == {
        name: type(value) for name, value in EVERYTHING.items()
    }


def test_the_usage_page_lists_exactly_these_fields() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    kinds = {str: "text", int: "number", float: "number"}
    assert rows == [(field.name, field.level.name.lower(), kinds[type(field.zero)], field.meaning) for field in FIELDS]
