"""P3 and P9: what a pipeline costs beside its models and the broker, and how many requests it carries."""

import asyncio
import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition
from mlops.v2_dataplane import v2_dataplane_pb2 as oip
from rich.progress import Progress

from shared.kafka.config import KafkaConfig
from tests.bench.bare_chain import bare_chain
from tests.bench.bare_process import ModelCall
from tests.bench.load import Sample, Target, run
from tests.bench.table import Row
from tests.system.deployment import Deployment

V = list(range(1, 17))
BODY = orjson.dumps(
    {"inputs": [{"name": n, "shape": [1, 16], "datatype": "INT32", "data": V} for n in ("INPUT0", "INPUT1")]}
)
CALLERS = (1, 16, 64)
MODELS = {"tfsimple1": "tfsimple1.yaml", "tfsimple2": "tfsimple2.yaml", "tfsimple3": "tfsimple3.yaml"}
FOURTH = "tfsimple4"
_SAMPLED_RECORDS = 30


@dataclass(frozen=True, slots=True)
class Shape:
    """A pipeline to measure: the models on its longest way, and the records written on it."""

    name: str
    steps: Mapping[str, Mapping[str, str]]
    """By model: its input tensors, from reference to the name that the model expects; the pipeline's own if empty."""
    way: Sequence[str]

    @property
    def hops(self) -> int:
        return 2 * len(self.way) + 2

    @property
    def manifest(self) -> str:
        steps = [
            {"name": model, "inputs": list(tensors), "tensorMap": dict(tensors)}
            for model, tensors in self.steps.items()
        ]
        document = {
            "apiVersion": "mlops.seldon.io/v1alpha1",
            "kind": "Pipeline",
            "metadata": {"name": self.name},
            "spec": {"steps": steps, "output": {"steps": [list(self.steps)[-1]]}},
        }
        return yaml.safe_dump(document)


def chain(count: int) -> Shape:
    models = [*MODELS, FOURTH][:count]
    steps: dict[str, dict[str, str]] = {models[0]: {}}
    for before, model in itertools.pairwise(models):
        steps[model] = {f"{before}.outputs.OUTPUT{index}": f"INPUT{index}" for index in (0, 1)}
    return Shape(f"bench-chain-{count}", steps, models)


JOIN = Shape(
    "bench-join",
    {
        "tfsimple1": {},
        "tfsimple2": {},
        "tfsimple3": {"tfsimple1.outputs.OUTPUT0": "INPUT0", "tfsimple2.outputs.OUTPUT1": "INPUT1"},
    },
    ["tfsimple1", "tfsimple3"],
)
SHAPES = (chain(1), chain(2), chain(4), JOIN)


@dataclass(slots=True)
class Measured:
    """Samples by round. Latencies in microseconds."""

    hop: list[float] = field(default_factory=list)
    models: dict[str, list[Sample]] = field(default_factory=dict)
    pipelines: dict[str, list[Sample]] = field(default_factory=dict)
    loaded: dict[int, list[Sample]] = field(default_factory=dict)
    bare: dict[int, list[Sample]] = field(default_factory=dict)
    hops: list[tuple[str, float]] = field(default_factory=list)


def prepare(deployment: Deployment) -> None:
    """Load the models and pipelines."""
    for file in MODELS.values():
        deployment.load_sample(file)
    spec = {"storageUri": "samples://tfsimple", "requirements": ["triton", "python"], "memory": "100Ki"}
    deployment.load_manifest(spec, FOURTH)
    deployment.wait_state(FOURTH, "ModelAvailable")
    for shape in SHAPES:
        deployment.load_pipeline(shape.manifest)


async def measure(deployment: Deployment, config: KafkaConfig, rounds: int, seconds: int, bar: Progress) -> Measured:
    """Everything in turn, so that whatever else the machine does hits all alike."""
    found = Measured()
    triton = f"127.0.0.1:{deployment.stack.port('SERVER_TRITON_GRPC_PORT')}"
    internal = f"tfsimple1_{deployment.status('tfsimple1').version}"
    request = _request(internal)
    calls = [None, ModelCall(triton, internal), None]
    task = bar.add_task("pipelines", total=rounds)
    async with bare_chain(config, "hop", [None]) as ping, bare_chain(config, "chain", calls) as bare:
        for _ in range(rounds):
            found.hop.append((await ping.load(request, 1, seconds)).p50 / 2)
            for model in [*MODELS, FOURTH]:
                found.models.setdefault(model, []).append(await _load(deployment, model, model, 1, 1))
            for shape in SHAPES:
                sample = await _load(deployment, shape.name, f"{shape.name}.pipeline", 1, seconds)
                found.pipelines.setdefault(shape.name, []).append(sample)
            for callers in CALLERS:
                name = SHAPES[0].name
                sample = await _load(deployment, name, f"{name}.pipeline", callers, seconds)
                found.loaded.setdefault(callers, []).append(sample)
                found.bare.setdefault(callers, []).append(await bare.load(request, callers, seconds))
            bar.advance(task)
        await _load(deployment, SHAPES[0].name, f"{SHAPES[0].name}.pipeline", 1, seconds)
        found.hops = await _time_per_hop(config, SHAPES[0].name, "tfsimple1")
    return found


async def _load(deployment: Deployment, name: str, header: str, callers: int, seconds: int) -> Sample:
    target = Target(name, f"{deployment.data_url}/v2/models/{name}/infer", BODY, header)
    return await asyncio.to_thread(run, target, callers, seconds)


def _request(model: str) -> bytes:
    request = oip.ModelInferRequest(model_name=model)
    for name in ("INPUT0", "INPUT1"):
        request.inputs.add(name=name, datatype="INT32", shape=[1, 16]).contents.int_contents.extend(V)
    return request.SerializeToString()


async def _time_per_hop(config: KafkaConfig, pipeline: str, model: str) -> list[tuple[str, float]]:
    """Mean milliseconds between a request's records on successive topics, from the times that their writers gave."""
    topics = config.topics
    way = {
        "pipeline input": topics.pipeline_inputs(pipeline),
        "dataflow engine to model input": topics.model_inputs(model),
        "model gateway and model to model output": topics.model_outputs(model),
        "dataflow engine to pipeline output": topics.pipeline_outputs(pipeline),
    }
    times = [await _last_times(config, topic) for topic in way.values()]
    common = set.intersection(*(set(each) for each in times))
    return [
        (what, statistics.fmean(later[key] - before[key] for key in common))
        for what, (before, later) in zip(list(way)[1:], itertools.pairwise(times), strict=True)
    ]


async def _last_times(config: KafkaConfig, topic: str) -> dict[bytes, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=config.bootstrap_servers, fetch_max_wait_ms=config.fetch_wait_ms)
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, max(0, end - _SAMPLED_RECORDS))
        found: dict[bytes, int] = {}
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found |= {record.key or b"": record.timestamp for record in records}
        return found
    finally:
        await consumer.stop()


def latency_rows(found: Measured, broker: str) -> list[Row]:
    rows = [Row("", f"bare hop on {broker}, p50", f"{statistics.median(found.hop) / 1000:.2f} ms")]
    for shape in SHAPES:
        ratios = [
            (sample.p50 - sum(found.models[model][turn].p50 for model in shape.way)) / (shape.hops * found.hop[turn])
            for turn, sample in enumerate(found.pipelines[shape.name])
        ]
        ratio = statistics.median(ratios)
        p50, p99 = (
            statistics.median(getattr(sample, which) for sample in found.pipelines[shape.name]) / 1000
            for which in ("p50", "p99")
        )
        models = sum(statistics.median(s.p50 for s in found.models[model]) for model in shape.way) / 1000
        rows.append(
            Row(
                "P3",
                f"{shape.name} on {broker}: (p50 - its models) / ({shape.hops} bare hops)",
                f"{ratio:.2f}",
                "≤ 1.3",
                ratio <= 1.3,
                f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; its models alone {models:.1f} ms",
            )
        )
    rows += [Row("", f"time per hop: {what}", f"{mean:.1f} ms") for what, mean in found.hops]
    return rows


def throughput_rows(found: Measured, broker: str) -> list[Row]:
    rows = []
    for callers in CALLERS:
        pairs = zip(found.loaded[callers], found.bare[callers], strict=True)
        ratio = statistics.median(ours.throughput / bare.throughput for ours, bare in pairs)
        ours, bare = (
            statistics.median(sample.throughput for sample in way)
            for way in (found.loaded[callers], found.bare[callers])
        )
        p50, p99 = (
            statistics.median(getattr(sample, which) for sample in found.loaded[callers]) / 1000
            for which in ("p50", "p99")
        )
        judged = callers == CALLERS[-1]
        rows.append(
            Row(
                "P9" if judged else "",
                f"one-step pipeline on {broker} at {callers} callers / bare chain of three loops with the model call",
                f"{ratio:.2f}",
                "≥ 0.7" if judged else "",
                ratio >= 0.7 if judged else None,
                f"{ours:,.0f} against {bare:,.0f} req/s; p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            )
        )
    return rows
