"""What Envoy counted, as an agent reads it: every call once, whoever answered in the end."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from services.agent.core.inference_counts import BUCKET, INFINITE, SECONDS, SUM, TOTAL, Counts, Series
from services.agent.metrics.envoy_stats import EnvoyStats
from tests.envoy.conftest import World
from tests.peers.inference import FAIL_BOTH, FAIL_SERVER
from tests.peers.mesh import ROOT
from tests.scheduler.builders import model

pytestmark = pytest.mark.asyncio(loop_scope="session")
_FLUSH_SECONDS = 20


@contextlib.asynccontextmanager
async def stats(world: World, server: str = "mlserver") -> AsyncIterator[EnvoyStats]:
    made = EnvoyStats(f"http://127.0.0.1:{world.mesh.stats_port}", server, 0)
    try:
        yield made
    finally:
        await made.close()


async def counted(of: EnvoyStats) -> Counts:
    counts, up = await of.counts()
    assert up
    return counts


def calls(counts: Counts, name: str) -> dict[tuple[str, ...], float]:
    """(method_type, code) to number of calls of one model."""
    return {
        series.labels[2:]: value
        for series, value in counts.items()
        if series.name == TOTAL and series.labels[0] == name
    }


def latencies(counts: Counts) -> dict[tuple[str, ...], float]:
    """(method, code) to number of calls."""
    return {
        series.labels[:2]: value
        for series, value in counts.items()
        if series.name == BUCKET and series.labels[2] == INFINITE
    }


async def new_latencies(of: EnvoyStats, before: Counts, expected: float) -> dict[tuple[str, ...], float]:
    """Wait until Envoy has put so many more calls into its histograms, which it does every few seconds."""
    old = latencies(before)
    async with asyncio.timeout(_FLUSH_SECONDS):
        while True:
            now = latencies(await counted(of))
            new = {key: value - old.get(key, 0) for key, value in now.items() if value > old.get(key, 0)}
            if sum(new.values()) >= expected:
                return new
            await asyncio.sleep(0.2)


async def until_served(world: World, url: str) -> None:
    """Wait for a restarted Envoy to have its routes, and for the clients to have found it again."""
    async with asyncio.timeout(_FLUSH_SECONDS):
        while True:
            if (await world.http.get(url)).status_code == 200:
                break
            await asyncio.sleep(0.05)
        await world.grpc.ServerLive(oip.ServerLiveRequest(), metadata=(("seldon-model", "iris"),), wait_for_ready=True)


async def test_fifty_over_rest_and_a_hundred_over_grpc(world: World) -> None:
    await world.load(model("fifty"))
    url, metadata = f"{world.url}/v2/models/fifty", (("seldon-model", "fifty"),)
    async with stats(world) as of:
        before = await counted(of)
        for _ in range(50):
            assert (await world.http.post(f"{url}/infer", content=b"{}")).status_code == 200
        for _ in range(100):
            await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=metadata)
        after = await counted(of)
        assert calls(after, "fifty") == {("rest", "200"): 50, ("grpc", "OK"): 100}
        for labels in (("fifty", "fifty_1", "rest", "200"), ("fifty", "fifty_1", "grpc", "OK")):
            assert 0 < after[Series(SECONDS, labels)] < 100
        assert await new_latencies(of, before, 150) == {("post", "200"): 50, ("grpc", "OK"): 100}
        assert {series.labels for series in await counted(of) if series.name == SUM} >= {
            ("post", "200"),
            ("grpc", "OK"),
        }


async def test_every_kind_of_call(world: World) -> None:
    await world.load(model("kinds"))
    url, metadata = f"{world.url}/v2/models/kinds", (("seldon-model", "kinds"),)
    named = {"seldon-model": "kinds"}
    async with stats(world) as of:
        before = await counted(of)
        for path in (url, f"{url}/ready", f"{world.url}/v2", f"{world.url}/v2/health/live"):
            await world.http.get(path, headers=named)
        await world.http.head(url, headers=named)
        await world.http.put(url, headers=named)
        await world.grpc.ModelMetadata(oip.ModelMetadataRequest(name="kinds"), metadata=metadata)
        await world.grpc.ModelReady(oip.ModelReadyRequest(name="kinds"), metadata=metadata)
        await world.grpc.ServerLive(oip.ServerLiveRequest(), metadata=metadata)
        stream = world.grpc.ModelStreamInfer(iter([oip.ModelInferRequest()] * 3), metadata=metadata)
        assert len([answer async for answer in stream]) == 3
        assert calls(await counted(of), "kinds") == {("rest", "200"): 6, ("grpc", "OK"): 4}
        expected = {("get", "200"): 4, ("head", "200"): 1, ("put", "200"): 1, ("grpc", "OK"): 3}
        assert await new_latencies(of, before, 9) == expected


async def test_retries_and_errors_are_one_call_each(world: World) -> None:
    await world.load(model("failing"))
    url, metadata = f"{world.url}/v2/models/failing/infer", (("seldon-model", "failing"),)
    async with stats(world) as of:
        before = await counted(of)
        # Answered by the agent, after the server.
        await world.http.post(url, headers={FAIL_SERVER: "404"})
        await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=(*metadata, (FAIL_SERVER, "NOT_FOUND")))
        # Answered with an error by both.
        await world.http.post(url, headers={FAIL_BOTH: "404"})
        await world.http.post(url, headers={FAIL_BOTH: "422"})
        for code in ("NOT_FOUND", "INVALID_ARGUMENT", "UNAVAILABLE"):
            with pytest.raises(grpc.aio.AioRpcError):
                await world.grpc.ModelInfer(oip.ModelInferRequest(), metadata=(*metadata, (FAIL_BOTH, code)))
        assert calls(await counted(of), "failing") == {
            ("rest", "200"): 1, ("rest", "404"): 1, ("rest", "422"): 1,
            ("grpc", "OK"): 1, ("grpc", "NotFound"): 1, ("grpc", "InvalidArgument"): 1, ("grpc", "Unavailable"): 1,
        }  # fmt: skip
        assert sum((await new_latencies(of, before, 7)).values()) == 7


async def test_callers_make_up_no_labels(world: World) -> None:
    """Neither models that nobody knows, nor pipelines, nor verbs of a caller's own."""
    await world.load(model("plain"))
    async with stats(world) as of:
        before = set(await counted(of))
        await world.http.get(f"{world.url}/v2/models/made-up")
        await world.http.get(f"{world.url}/v2/pipelines/made-up/ready")
        await world.http.get(f"{world.url}/v2/models/plain", headers={"x-seldon-counted": "no", "server": "made-up"})
        await world.http.request("BREW", f"{world.url}/v2/models/plain")
        new = set(await counted(of)) - before
        assert {series for series in new if series.name == TOTAL} == {
            Series(TOTAL, ("plain", "plain_1", "rest", "200"))
        }
        assert not any("brew" in series.labels or "made-up" in series.labels for series in await counted(of))


async def test_another_servers_calls_are_not_ours(world: World) -> None:
    async with stats(world, "triton") as of:
        await world.http.get(f"{world.url}/v2/models/iris")
        await world.http.get(f"{world.url}/v2/models/add")
        names = {series.labels[0] for series in await counted(of) if series.name == TOTAL}
        assert "add" in names
        assert "iris" not in names


async def test_a_request_through_envoy_is_marked_for_the_agent(world: World) -> None:
    answer = await world.http.get(f"{world.url}/v2/models/cold", headers={"x-seldon-counted": "no"})
    headers = {name.lower(): value for name, value in answer.json()["headers"].items()}
    assert (answer.json()["who"], headers["x-seldon-counted"]) == ("agent", "envoy")


async def test_the_families_of_the_page_about_metrics_exist(world: World) -> None:
    """Those that every Envoy has; they are there from the start, moved or not."""
    await world.http.get(f"{world.url}/v2/models/iris")
    page = (ROOT / "docs" / "metrics.md").read_text().partition("## Envoy: what dashboards and rules read")[2]
    written = set(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert len(written) > 20
    shown = set(re.findall(r"^# TYPE (\w+) (\w+)$", await world.stats(), re.MULTILINE))
    assert written - shown == set()


async def test_a_restarted_envoy_takes_nothing_back(world: World) -> None:
    mesh = world.mesh
    await world.load(model("surviving"))
    url, key = f"{world.url}/v2/models/surviving", Series(TOTAL, ("surviving", "surviving_1", "rest", "200"))
    async with stats(world) as of:
        for _ in range(3):
            await world.http.get(url)
        assert (await counted(of))[key] == 3
        assert mesh.envoy is not None
        mesh.envoy.kill()
        await mesh.envoy.wait()
        counts, up = await of.counts()
        assert (counts[key], up) == (3, False)
        await mesh.start_envoy()
        await until_served(world, url)
        assert (await counted(of))[key] == 4
        await world.http.get(url)
        assert (await counted(of))[key] == 5
