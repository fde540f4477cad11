"""Runs of the whole collector: its schedule, its identity, and the processes themselves."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from mlops.scheduler import scheduler_pb2 as pb

from services.hodometer.app import duration_text, run
from services.hodometer.settings import settings_of
from tests.hodometer.peers import HOST, ScriptedReceiver, Waits, environment, receiver_url, scheduler_on_port
from tests.hodometer.test_collection import COUNTS, full_scheduler
from tests.hodometer.test_fields import CLUSTER, FEATURE, NAMES, RESOURCE
from tests.peers.mesh import ROOT
from tests.peers.ports import free_port
from tests.scheduler.builders import model
from tests.scheduler.conftest import running

EIGHT_HOURS = 8 * 60 * 60
ID = "7d8e1a0e-8d54-4c63-9c2f-5f5b6b1d6f11"
_PATIENCE = 60.0
"""Seconds after which a wait is a failure."""


class Enough(Exception):
    """The collector has run as often as the test wants."""


class Runs(Waits):
    """Ends the collector when it would wait for its next run the nth time."""

    def __init__(self, count: int = 1, interval: float = EIGHT_HOURS) -> None:
        super().__init__()
        self._left = count
        self._interval = interval

    async def __call__(self, seconds: float) -> None:
        await super().__call__(seconds)
        if seconds == self._interval:
            self._left -= 1
            if self._left == 0:
                raise Enough


async def run_once(variables: dict[str, str], runs: Runs | None = None) -> None:
    with pytest.raises(Enough):
        await run(settings_of(variables), variables, runs or Runs())


async def events_at(url: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient() as client:
        events: list[dict[str, Any]] = (await client.get(f"{url}/events")).json()
    return events


async def test_it_runs_at_once_and_then_eight_hours_after_the_end_of_a_run(lines: list[dict[str, Any]]) -> None:
    receiver, runs = ScriptedReceiver([500, 500]), Runs(3)
    async with scheduler_on_port(full_scheduler()) as port, receiver.url() as url:
        await run_once(environment(port, url), runs)
    assert runs.seconds == [1, 2, EIGHT_HOURS, EIGHT_HOURS, EIGHT_HOURS]
    assert len(receiver.requests) == 2 + 3
    ids = [event["properties"]["$insert_id"] for event in receiver.events]
    assert len(set(ids)) == 3
    said = [line["event"] for line in lines if line["log_level"] == "info"]
    assert said[0] == "build information"
    assert sum(line.startswith("collect metrics and publish at 2") for line in said) == 3
    assert said.count(f"publishing usage metrics to {url}") == 3
    assert said.count("next run after 8h0m0s") == 3


async def test_the_interval_can_be_set() -> None:
    runs = Runs(2, interval=90)
    async with scheduler_on_port(full_scheduler()) as port, receiver_url() as url:
        await run_once(environment(port, url, PUBLISH_INTERVAL_SECONDS="90"), runs)
        assert len(await events_at(url)) == 2
    assert runs.seconds == [90, 90]


@pytest.mark.parametrize(("seconds", "said"), [(EIGHT_HOURS, "8h0m0s"), (90, "1m30s"), (5, "5s"), (3600, "1h0m0s")])
def test_durations(seconds: int, said: str) -> None:
    assert duration_text(seconds) == said


async def test_two_starts_have_two_identities_and_a_given_one_stays() -> None:
    async with scheduler_on_port(full_scheduler()) as port, receiver_url() as url:
        for others in ({}, {"CLUSTER_ID": "no uuid"}, {"CLUSTER_ID": ID}, {"CLUSTER_ID": ID}):
            await run_once(environment(port, url, **others), Runs(2))
        events = [event["properties"] for event in await events_at(url)]
    identities = [event["cluster_id"] for event in events]
    assert [event["distinct_id"] for event in events] == identities
    first, second = identities[0], identities[2]
    assert identities == [first, first, second, second, ID, ID, ID, ID]
    assert len({first, second, ID}) == 3
    assert UUID(first).version == UUID(second).version == 4


@pytest.mark.parametrize(("level", "kept"), [("cluster", CLUSTER), ("resource", CLUSTER | RESOURCE), ("feature", None)])
async def test_each_level_has_all_keys_and_zeros_above_itself(level: str, kept: dict[str, Any] | None) -> None:
    async with scheduler_on_port(full_scheduler()) as port, receiver_url() as url:
        await run_once(environment(port, url, METRICS_LEVEL=level, CLUSTER_ID=ID))
        (event,) = await events_at(url)
    properties = event["properties"]
    assert sorted(properties) == sorted(["token", "distinct_id", "ip", "time", "$insert_id", *NAMES])
    everything = {**dict.fromkeys(FEATURE, 0), **COUNTS, "seldon_core_version": "2.10.0"}
    for name, value in everything.items():
        assert properties[name] == (value if kept is None or name in kept else 0), name


async def test_unreachable_receivers_do_not_end_it_and_others_are_served() -> None:
    nobody = f"http://{HOST}:{free_port()}"
    async with scheduler_on_port(full_scheduler()) as port, receiver_url() as url:
        await run_once(environment(port, nobody, url), Runs(2))
        assert len(await events_at(url)) == 2


async def test_without_a_scheduler_zeros_are_sent() -> None:
    async with receiver_url() as url:
        await run_once(environment(free_port(), url))
        (event,) = await events_at(url)
    assert {event["properties"][name] for name in (*RESOURCE, *FEATURE)} == {0}
    assert event["properties"]["seldon_core_version"] == ""


async def test_without_a_url_nothing_is_asked_or_sent(lines: list[dict[str, Any]]) -> None:
    peer = full_scheduler()
    async with scheduler_on_port(peer) as port:
        await run_once(environment(port), Runs(2))
    assert peer.methods == []
    warnings = [line["event"] for line in lines if line["log_level"] == "warning"]
    assert len(warnings) == 2
    assert "PUBLISH_URL" in warnings[0]


async def test_counts_match_what_a_real_scheduler_holds_and_its_end_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as scheduler, receiver_url() as url:
        await scheduler.add_envoy()
        agent = await scheduler.add_agent()
        for name in ("iris", "income"):
            await scheduler.load(model(name))
            await scheduler.until(name, pb.ModelStatus.ModelAvailable)
        status = await scheduler.api.SchedulerStatus(pb.SchedulerStatusRequest())
        await run_once(environment(scheduler.settings.scheduler_port, url))
        (event,) = await events_at(url)
        # The collector is gone by now.
        await scheduler.load(model("later"))
        await scheduler.until("later", pb.ModelStatus.ModelAvailable)
    properties = event["properties"]
    assert properties["seldon_core_version"] == status.applicationVersion
    assert properties["model_count"] == 2
    assert (properties["server_count"], properties["server_replica_count"]) == (1, 1)
    assert (properties["multimodel_enabled_count"], properties["overcommit_enabled_count"]) == (1, 0)
    assert properties["server_memory_gb_sum"] == agent.memory / 1e9


def test_no_service_needs_it() -> None:
    own = {"hodometer", "hodometer_receiver"}
    others = [file for file in (ROOT / "services").rglob("*.py") if file.relative_to(ROOT).parts[1] not in own]
    shared = list((ROOT / "shared").rglob("*.py"))
    assert others
    assert [str(file) for file in (*others, *shared) if "services.hodometer" in file.read_text()] == []


# -- processes -------------------------------------------------------------------------------------------------------


async def start(module: str, **variables: str) -> asyncio.subprocess.Process:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    path = os.pathsep.join([str(ROOT), str(ROOT / "protos" / "gen")])
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, cwd=ROOT,
        env={**inherited, "PYTHONPATH": path, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def listening_sockets(pid: int) -> list[str]:
    """Inodes of TCP sockets that the process listens on."""
    held = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table]
    return [row[9] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held]


async def read_until(stream: asyncio.StreamReader | None, text: str) -> list[str]:
    assert stream is not None
    seen: list[str] = []
    async with asyncio.timeout(_PATIENCE):
        while not seen or text not in seen[-1]:
            line = await stream.readline()
            assert line, f"no {text!r} in {seen}"
            seen.append(line.decode())
    return seen


async def test_the_processes_find_each_other_and_stop_when_told() -> None:
    receiver_port = free_port()
    url = f"http://{HOST}:{receiver_port}"
    receiver = await start(
        "services.hodometer_receiver",
        LISTEN_PORT=str(receiver_port),
        HODOMETER_RECEIVER_HOST=HOST,
        RECORD_LEVEL="all",
    )
    try:
        await read_until(receiver.stderr, '"started"')
        async with scheduler_on_port(full_scheduler()) as port:
            collector = await start("services.hodometer", **environment(port, url, "stdout:"))
            try:
                said = await read_until(collector.stderr, "next run after 8h0m0s")
                (event,) = await events_at(url)
                printed = await read_until(collector.stdout, "collect metrics")
                assert json.loads(printed[-1]) == event
                assert event["properties"]["model_count"] == 2
                assert any("build information" in line for line in said)
                assert all(json.loads(line)["service"] == "hodometer" for line in said)
                assert listening_sockets(collector.pid) == []
                assert listening_sockets(receiver.pid) != []
            finally:
                collector.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(collector.wait(), _PATIENCE) == 0
                await collector.communicate()
    finally:
        receiver.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(receiver.wait(), _PATIENCE) == 0
        await receiver.communicate()


async def test_bad_settings_are_logged_by_name_and_end_the_process() -> None:
    collector = await start("services.hodometer", METRICS_LEVEL="all", SCHEDULER_TLS_PORT="x")
    _, errors = await asyncio.wait_for(collector.communicate(), _PATIENCE)
    assert collector.returncode == 2
    told = [json.loads(line) for line in errors.decode().splitlines()]
    assert [(line["setting"], line["event"]) for line in told] == [
        ("SCHEDULER_PLAINTXT_PORT", "value not set"),
        ("SCHEDULER_TLS_PORT", "'x' is not a number it can be"),
        ("METRICS_LEVEL", "level all not recognised"),
    ]
    assert all(line["level"] == "error" and line["fix"] for line in told)
