"""Whoever writes it, a line on stderr is one JSON object with the same first fields."""

import json
import subprocess
import sys
from typing import Any


def _lines(end: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "tests.logs.lines_of_all_kinds", end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_of_a_process() -> None:
    lines = _lines("known")
    for line in lines:
        assert list(line)[:5] == ["timestamp", "level", "service", "component", "event"]
        assert line["service"] == "tester"
    told = [(line["component"], line["level"], line["event"]) for line in lines]
    assert told[:7] == [
        ("app", "info", "started"),
        ("app", "debug", "wanted now"),
        ("uvicorn", "warning", "from uvicorn"),
        ("somebody", "error", "from a library that nobody listed"),
        ("aiokafka", "error", "no broker, attempt 0"),
        ("py", "warning", told[5][2]),
        ("asyncio", "error", told[6][2]),
    ]
    assert "of Python itself" in told[5][2]
    assert "never retrieved" in told[6][2]
    assert "nobody waits for this one" in lines[6]["exception"]
    assert "two\nlines" in lines[7]["exception"]
    assert told[8:] == [("process", "critical", "ended")]
    assert lines[-1]["reason"] == "no such peer"


def test_an_end_that_nobody_foresaw_is_a_line_too() -> None:
    last = _lines("unknown")[-1]
    assert (last["level"], last["component"]) == ("critical", "process")
    assert "KeyError: 'surprise'" in last["exception"]
