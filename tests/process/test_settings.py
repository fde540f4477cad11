"""`.env`, the environment and overrides become one set of settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.process import settings
from shared.errors import InvalidInput


def test_later_sources_win_and_foreign_variables_stay_out() -> None:
    written = {"ENVOY_DATA_PORT": "9000", "BIND_HOST": "127.0.0.1", "SCHEDULER_LOG_LEVEL": "info"}
    environment = {
        "SCHEDULER_LOG_LEVEL": "debug",
        "SCHEDULER_DELETED_RESOURCE_TTL_SECONDS": "60",
        "SELDON_HOME": "/somewhere",
        "SCHEDULER_PORT": "tcp://10.0.0.1:9004",
        "PATH": "/bin",
    }
    made = settings.resolve(written, environment, {"BIND_HOST": "0.0.0.0"})
    assert dict(made.values) == {
        "ENVOY_DATA_PORT": "9000",
        "BIND_HOST": "0.0.0.0",
        "SCHEDULER_LOG_LEVEL": "debug",
        "SCHEDULER_DELETED_RESOURCE_TTL_SECONDS": "60",
    }
    assert made.host == "127.0.0.1"
    assert made.bind_host == "0.0.0.0"


@given(port=st.integers(1, 60_000), offset=st.integers(0, 5_535))
def test_the_offset_moves_every_port_and_nothing_else(port: int, offset: int) -> None:
    written = {"SELDON_PORT_OFFSET": "0", "A_PORT": str(port), "B_PORT": "1", "MEMORY": "5"}
    made = settings.resolve(written, {"SELDON_PORT_OFFSET": str(offset)}, {})
    assert (made.port("A_PORT"), made.port("B_PORT"), made["MEMORY"]) == (port + offset, 1 + offset, "5")


@pytest.mark.parametrize(
    ("name", "value", "offset"),
    [
        ("A_PORT", "http", "0"),
        ("A_PORT", "0", "0"),
        ("A_PORT", "", "0"),
        ("A_PORT", "65000", "1000"),
        ("A_PORT", "1", "-1"),
    ],
)
def test_a_wrong_port_is_named(name: str, value: str, offset: str) -> None:
    with pytest.raises(InvalidInput, match=r"A_PORT|SELDON_PORT_OFFSET"):
        settings.resolve({name: value, "SELDON_PORT_OFFSET": offset}, {}, {})


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"setting NOPE is missing: add it to \.env"):
        settings.resolve({}, {}, {})["NOPE"]


@pytest.mark.parametrize(("written", "has"), [("usage", True), ("monitoring, usage", True), ("", False)])
def test_optional_groups_of_parts(written: str, has: bool) -> None:
    assert settings.resolve({"COMPOSE_PROFILES": written}, {}, {}).has("usage") is has


def test_the_ports_of_the_shipped_file_are_all_different() -> None:
    shipped = settings.load()
    ports = [value for name, value in shipped.values.items() if name.endswith("_PORT")]
    assert len(ports) == len(set(ports))
