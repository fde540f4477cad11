"""What a part waits for, as its readiness endpoint tells it."""

from pathlib import Path

import pytest

from compose.process.program import Program
from compose.process.readiness import explanation, look


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"waiting_for": {"scheduler": "refused", "rclone": "starts"}}', "scheduler (refused), rclone (starts)"),
        (b'{"waiting_for": {}}', "its start"),
        (b'{"waiting_for": ["scheduler"]}', "its start"),
        (b"[]", "its start"),
        (b"\xff\xfe", "its start"),
        (b"", "its start"),
    ],
)
def test_explanation(body: bytes, said: str) -> None:
    assert explanation(body, otherwise="its start") == said


def test_nothing_listens(free_port: int) -> None:
    program = Program("part", (), Path(), f"http://127.0.0.1:{free_port}/ready", (), unready="its peer")
    seen = look(program, lasts=True)
    assert (seen.ready, seen.waits_for) == (False, "its peer")


def test_a_part_without_a_port_is_ready_once_it_lasts() -> None:
    program = Program("part", (), Path(), None, ())
    assert look(program, lasts=True).ready
    starting = look(program, lasts=False)
    assert (starting.ready, starting.waits_for) == (False, "its own start")
