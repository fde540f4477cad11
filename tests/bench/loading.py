"""P10: how soon a new pipeline answers. P11: loading one costs the same beside fifty others and beside a thousand."""

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
from mlops.scheduler import scheduler_pb2 as pb
from rich.progress import Progress

from shared.kafka.config import KafkaConfig
from shared.kafka.names import GroupNames, TopicNames
from shared.kafka.topics import TopicAdmin
from shared.manifests.reader import read_resources
from tests.bench.joins import processor_seconds
from tests.bench.pipelines import BODY, chain
from tests.bench.table import Row
from tests.dataflow.engine.instructions import chain as described
from tests.dataflow.engine.process import Scheduler, start_engine
from tests.system.deployment import WAIT_SECONDS, Deployment

SIZES = (50, 200, 1000)
_LOADS = 25
_BAR_SECONDS = 0.6


@dataclass(frozen=True, slots=True)
class Loads:
    """Of the last few pipelines up to this number, one by one: milliseconds until ready, and of the engine's time."""

    pipelines: int
    ready: float
    processor: float


def first_answers(deployment: Deployment, rounds: int, bar: Progress) -> list[float]:
    """Seconds from loading a pipeline of one step, whose model is there, to its first answer; after some idleness."""
    found = []
    task = bar.add_task("pipelines to their first answers", total=rounds)
    with httpx.Client(base_url=deployment.data_url, timeout=60, trust_env=False) as client, deployment.api() as api:
        for number in range(rounds):
            shape = replace(chain(1), name=f"bench-first-{number}")
            (resource,) = read_resources(shape.manifest)
            assert isinstance(resource.message, pb.Pipeline)
            # Whatever the last one has left to do is not part of this one's time.
            time.sleep(1)
            began = time.perf_counter()
            api.LoadPipeline(pb.LoadPipelineRequest(pipeline=resource.message), timeout=WAIT_SECONDS)
            headers = {"seldon-model": f"{shape.name}.pipeline", "content-type": "application/json"}
            while client.post(f"/v2/models/{shape.name}/infer", content=BODY, headers=headers).status_code != 200:
                time.sleep(0.005)
            found.append(time.perf_counter() - began)
            deployment.unload_pipeline(shape.name)
            bar.advance(task)
    return found


async def loads(plain: KafkaConfig, bar: Progress) -> list[Loads]:
    """An engine under a scheduler of its own, on topics of its own; all pipelines have one model."""
    config = replace(plain, topics=TopicNames(namespace="loads"), groups=GroupNames(namespace="loads"))
    found, samples = [], []
    task = bar.add_task("P11: pipelines loaded one by one", total=SIZES[-1])
    admin = TopicAdmin(config)
    await admin.start()
    async with Scheduler() as scheduler:
        with tempfile.TemporaryDirectory() as folder:
            engine = await start_engine(config, scheduler, Path(folder))
            try:
                for number in range(1, SIZES[-1] + 1):
                    began, used = time.perf_counter(), processor_seconds(engine.pid)
                    scheduler.want(described(config.topics, f"p{number}", "a").create())
                    assert (await scheduler.reported(number)).success
                    samples.append((time.perf_counter() - began, processor_seconds(engine.pid) - used))
                    if number in SIZES:
                        ready, processor = zip(*samples[-_LOADS:], strict=True)
                        found.append(Loads(number, statistics.median(ready) * 1000, statistics.fmean(processor) * 1000))
                    bar.advance(task)
            finally:
                engine.terminate()
                await engine.wait()
                names = [config.topics.errors, config.topics.model_inputs("a"), config.topics.model_outputs("a")]
                for number in range(1, len(samples) + 1):
                    names += [config.topics.pipeline_inputs(f"p{number}"), config.topics.pipeline_outputs(f"p{number}")]
                await admin.delete(names)
                await admin.stop()
    return found


def rows(answers: list[float], found: list[Loads], broker: str) -> list[Row]:
    median = statistics.median(answers)
    smallest, largest = found[0], found[-1]
    growth = largest.processor / smallest.processor
    first = f"from loading a one-step pipeline on {broker} to its first answer"
    slowest = f"slowest of {len(answers)}: {max(answers):.2f} s"
    flat = f"engine's processor time for one more of {largest.pipelines} pipelines on {broker} / {smallest.pipelines}"
    return [
        Row("P10", first, f"{median:.2f} s", f"≤ {_BAR_SECONDS} s", median <= _BAR_SECONDS, slowest),
        Row("P11", flat, f"{growth:.2f}", "flat (≤ 1.5)", growth <= 1.5),
        *(
            Row(
                "P11",
                f"loading one more of {at.pipelines} pipelines on {broker}",
                f"{at.ready:.0f} ms",
                details=f"{at.processor:.1f} ms of the engine's processor time",
            )
            for at in found
        ),
    ]
