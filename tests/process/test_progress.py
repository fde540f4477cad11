"""While a deployment comes up: one line for each part, and none of what libraries say."""

import io
import re
from collections.abc import Sequence

import grpc
import grpc.aio
import pytest
from mlops.scheduler import scheduler_pb2, scheduler_pb2_grpc
from rich.console import Console

from compose import progress
from compose.process.readiness import explanation, names
from compose.status import PartStatus
from shared.rpc import channel, why
from tests.peers.ports import free_port

RAW = b'{"waiting_for": {"scheduler": "UNAVAILABLE: failed to connect to all addresses", "kafka": "not started"}}'
PARTS = ("envoy", "scheduler", "dataflow")


def row(part: str, ready: bool) -> PartStatus:
    waits = "" if ready else explanation(RAW, "its start")
    return PartStatus(part, "RUNNING", ready, 1, 1, (), waits, "" if ready else names(RAW))


def states(*ready: str) -> list[PartStatus]:
    return [row(part, part in ready) for part in PARTS]


HISTORY = [
    states(),
    states("envoy"),
    states("envoy"),
    states("envoy", "scheduler"),
    states("scheduler"),
    states(*PARTS),
]


def output(history: Sequence[Sequence[PartStatus]], seconds: float, *, terminal: bool, width: int = 60) -> str:
    written = io.StringIO()
    with progress.shown(Console(file=written, force_terminal=terminal, width=width, height=40)) as report:
        for i, rows in enumerate(history):
            report(rows, i * seconds)
    return written.getvalue()


def test_without_a_terminal_a_line_when_a_part_is_ready() -> None:
    assert output(HISTORY, 1, terminal=False).splitlines() == [
        "envoy: ready (1.0 s)",
        "scheduler: ready (3.0 s)",
        "envoy: not ready any more, waits for scheduler, kafka (4.0 s)",
        "envoy: ready (5.0 s)",
        "dataflow: ready (5.0 s)",
    ]


def test_without_a_terminal_a_long_wait_is_not_silent() -> None:
    lines = output([states("envoy", "dataflow")] * 4, 15, terminal=False).splitlines()
    assert lines[2:] == ["after 30 s: scheduler waits for scheduler, kafka"]


@pytest.mark.parametrize("width", [30, 60, 200])
def test_on_a_terminal_one_line_for_each_part(width: int) -> None:
    """Whatever its width: the last picture is what stays."""
    shown = output(HISTORY, 1, terminal=True, width=width)
    assert "UNAVAILABLE" not in shown
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).replace("\r", "").rstrip("\n").splitlines()[-len(PARTS) :]
    assert [line.split()[:3] for line in last] == [["✓", part, "ready"] for part in PARTS]
    assert re.findall(r"\((\d)", " ".join(last)) == ["5", "3", "5"]


def test_on_a_terminal_what_is_missing_is_named() -> None:
    assert "waits for scheduler, kafka" in output([states("envoy")], 1, terminal=True)


async def test_a_peer_that_is_not_there_is_told_in_two_words() -> None:
    async with channel(f"127.0.0.1:{free_port()}") as nobody:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await scheduler_pb2_grpc.SchedulerStub(nobody).SchedulerStatus(scheduler_pb2.SchedulerStatusRequest())
    assert why(refused.value) == "connection refused"
