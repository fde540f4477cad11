"""Ports that something else has, and the offsets that get out of its way."""

import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose import ports
from compose.process import parts
from compose.process.home import Home
from compose.process.settings import Settings, load
from shared.errors import Unavailable

USUAL = {"SELDON_PORT_OFFSET": "0", "BIND_HOST": "127.0.0.1"}


def test_taken_ports_are_found(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        used = listener.getsockname()[1]
        assert ports.taken("127.0.0.1", [free_port, used]) == [used]


def all_ports(settings: Settings) -> set[int]:
    """Of every part in plain processes with all its replicas, and of containers."""
    programs = parts.programs(settings, Home.of({}), None)
    return {port for program in programs for port in program.ports} | {
        settings.port(name) for name in settings.values if name.endswith("_PORT")
    }


@given(taken=st.sets(st.integers(9_000, 32_767), max_size=60))
def test_what_is_proposed_works_beside_a_deployment_and_whatever_else_runs(taken: set[int]) -> None:
    plain = all_ports(load({**USUAL, "DATAFLOW_REPLICAS": "3"}))
    occupied = plain | taken
    for _, offset in zip(range(5), ports.working_offsets(plain, lambda port: port not in occupied), strict=False):
        moved = {port + offset for port in plain}
        assert moved.isdisjoint(occupied)
        assert max(moved) <= 32_767


def test_whole_thousands_come_first_and_a_taken_one_is_passed_over() -> None:
    def passed_over(*taken: int) -> list[int]:
        found = ports.working_offsets([8001, 9000, 9001], lambda port: port not in taken)
        return [offset for _, offset in zip(range(3), found, strict=False)]

    # 8001 and 1000 are 9001.
    assert passed_over() == [2000, 3000, 4000]
    assert passed_over(11_000, 12_000) == [4000, 5000, 6000]
    assert passed_over(*range(10_000, 32_700, 1000)) == [1100, 1200, 1300]


def test_nothing_is_proposed_where_nothing_is_free() -> None:
    assert list(ports.working_offsets([9000], lambda _: False)) == []


def test_a_taken_port_is_refused_with_an_offset_that_works(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)):
        settings = load({**USUAL, "ENVOY_DATA_PORT": str(free_port)})
        with pytest.raises(Unavailable, match=f"envoy needs port {free_port}") as refused:
            ports.refuse_taken({"envoy": [free_port], "scheduler": []}, settings)
        offsets = [int(text) for text in re.findall(r"SELDON_PORT_OFFSET=(\d+)", str(refused.value))]
        assert offsets
        for offset in offsets:
            moved = load({**USUAL, "ENVOY_DATA_PORT": str(free_port), "SELDON_PORT_OFFSET": str(offset)})
            ports.refuse_taken({"all": all_ports(moved)}, moved)


def test_free_ports_are_not_refused(free_port: int) -> None:
    ports.refuse_taken({"envoy": [free_port]}, load(USUAL))


def test_no_port_is_asked_for_that_nobody_listens_on() -> None:
    """Mirrored traffic has none of its own, and 9001 is what usage metrics have at offset 1000."""
    assert 9001 not in all_ports(load(USUAL))
