"""Engines and gateways share the pipelines; one more or one less of each loses nothing."""

import asyncio

import pytest

from compose.status import Deployed
from tests.system.deployment import PIPELINES, Deployment
from tests.system.history import History
from tests.system.test_pipeline_faults import chained

pytestmark = [pytest.mark.system, pytest.mark.kafka]

KINDS = ("DATAFLOW", "MODELGATEWAY", "PIPELINEGATEWAY")
COPIES = [f"shared-{letter}" for letter in "abcd"]
REQUESTS = 400
CALLERS = 4
DEADLINE_MS = 30_000


def _with_replicas(deployment: Deployment, count: int) -> Deployed:
    return deployment.stack.with_settings({f"{kind}_REPLICAS": str(count) for kind in KINDS})


async def test_replicas_come_and_go_under_load(deployment: Deployment) -> None:
    text = (PIPELINES / "tfsimples.yaml").read_text()
    for sample in ("tfsimple1.yaml", "tfsimple2.yaml"):
        await asyncio.to_thread(deployment.load_sample, sample)
    for name in COPIES:
        await asyncio.to_thread(deployment.load_pipeline, text.replace("name: tfsimples\n", f"name: {name}\n"))
    histories = [History(deployment, name, REQUESTS, DEADLINE_MS) for name in COPIES]

    async def scale() -> None:
        more = _with_replicas(deployment, 2)
        await histories[0].wait_for(REQUESTS // 4)
        started = await asyncio.to_thread(more.up)
        assert set(started) >= {f"{kind.lower()}-1" for kind in KINDS}
        await asyncio.to_thread(more.wait_ready)
        await histories[0].wait_for(len(histories[0].entries) + REQUESTS // 10)
        assert {row.part for row in more.status()} >= {f"{kind.lower()}-1" for kind in KINDS}
        await asyncio.to_thread(deployment.stack.up)

    await asyncio.gather(scale(), *(history.run(CALLERS) for history in histories))
    for history in histories:
        assert history.check(chained) == []
    for name in COPIES:
        await asyncio.to_thread(deployment.unload_pipeline, name)
