"""Every accepted request ends in its own right answer or in a typed error, whichever process dies."""

import asyncio
import time

import pytest

from tests.system.deployment import Deployment
from tests.system.history import History

pytestmark = [pytest.mark.system, pytest.mark.kafka]

REQUESTS = 5_000
CALLERS = 16
DEADLINE_MS = 30_000
VICTIMS = ("modelgateway", "dataflow", "pipelinegateway")


def chained(number: int) -> dict[str, list[int]]:
    """What tfsimples makes of sixteen numbers from `number` on: both outputs are twice the input."""
    doubled = [2 * (number + offset) for offset in range(16)]
    return {"OUTPUT0": doubled, "OUTPUT1": doubled}


async def test_each_process_killed_in_turn(deployment: Deployment) -> None:
    name = await asyncio.to_thread(
        deployment.load_pipeline_sample, "tfsimples.yaml", "tfsimple1.yaml", "tfsimple2.yaml"
    )
    history = History(deployment, name, REQUESTS, DEADLINE_MS)
    gateway_down: list[tuple[float, float]] = []

    async def kill_in_turn() -> None:
        for turn, victim in enumerate(VICTIMS, start=1):
            await history.wait_for(REQUESTS * turn // (len(VICTIMS) + 1))
            began = time.monotonic()
            await asyncio.to_thread(deployment.stack.kill, victim)
            await asyncio.to_thread(_wait_until_ready, deployment, victim)
            if victim == "pipelinegateway":
                await asyncio.to_thread(
                    deployment.wait_for, lambda: deployment.pipeline_ready(name), "the pipeline to be ready again"
                )
                gateway_down.append((began, time.monotonic()))

    await asyncio.gather(history.run(CALLERS), kill_in_turn())
    refused = history.check(chained)
    ((down, back),) = gateway_down
    # Only the gateway holds callers' connections; the other two lose nothing that anybody sees.
    assert all(entry.ended > down and entry.began < back for entry in refused), refused[:3]
    answered = REQUESTS - len(refused)
    assert answered > REQUESTS / 2
    await asyncio.to_thread(deployment.unload_pipeline, name)


def _wait_until_ready(deployment: Deployment, part: str) -> None:
    def ready() -> bool:
        return next(row.ready for row in deployment.stack.status() if row.part == part)

    deployment.wait_for(ready, f"{part} to be back")
