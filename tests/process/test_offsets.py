"""Deployments that tests start beside each other have no port in common."""

import re
from itertools import combinations
from pathlib import Path

from tests.peers.ports import OFFSETS

ROOT = Path(__file__).resolve().parents[2]
REPLICAS = (0, 100, 200, 300)
"""What is added to the ports of further replicas."""


def test_no_two_offsets_share_a_port() -> None:
    told = re.findall(r"^\w+_PORT=([1-9]\d*)$", (ROOT / ".env").read_text(), re.MULTILINE)
    ports = {int(port) + further for port in told for further in REPLICAS}
    assert len(ports) > 100
    for one, other in combinations(OFFSETS, 2):
        assert not {port + one for port in ports} & {port + other for port in ports}, (one, other)
