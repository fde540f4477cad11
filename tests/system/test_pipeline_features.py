"""Batches, cycles, versions, pipelines fed by pipelines, and Kafka clients beside the gateways."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from shared.oip.tensors import type_inputs, type_outputs
from tests.system import topics
from tests.system.calls import PROTOCOLS, Protocol, infer, tensor
from tests.system.deployment import Deployment
from tests.system.test_pipelines import IRIS, PLAIN, TENS, TFSIMPLES, E, F, V, Z, pair

pytestmark = [pytest.mark.system, pytest.mark.kafka]

CYCLE = ["counter.yaml", "identity-loop.yaml", "identity-output.yaml"]
SECONDS = 60


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cycle_runs_until_its_condition(deployment: Deployment, protocol: Protocol) -> None:
    name = deployment.load_pipeline_sample("counter-pipeline.yaml", *CYCLE)
    answer = infer(deployment, protocol, f"{name}.pipeline", [tensor("counter.inputs", "INT32", [1], [0])])
    assert answer.ok, answer
    assert answer.data["output"] == [10]
    assert answer.data["stop"] in ([""], [b""])
    deployment.unload_pipeline(name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_caller_of_a_batch_gets_its_own_rows(deployment: Deployment, protocol: Protocol) -> None:
    name = deployment.load_pipeline_sample("iris-batch.yaml", "sklearn1.yaml")
    with ThreadPoolExecutor(2) as callers:
        both = [callers.submit(infer, deployment, protocol, f"{name}.pipeline", IRIS) for _ in range(2)]
        answers = [each.result() for each in both]
    for answer in answers:
        assert answer.ok, answer
        assert [(t, shape, data) for t, _, shape, data in answer.tensors] == [("predict", [1, 1], [2])]
    two_rows = [tensor("predict", "FP32", [2, 4], [1, 2, 3, 4, 1, 2, 3, 4])]
    answer = infer(deployment, protocol, f"{name}.pipeline", two_rows)
    assert [(t, shape, data) for t, _, shape, data in answer.tensors] == [("predict", [2, 1], [2, 2])]
    deployment.unload_pipeline(name)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_versions_follow_each_other(deployment: Deployment, protocol: Protocol) -> None:
    expected = {
        "version-test-a.yaml": [11, 12, 13, 14],
        "version-test-b.yaml": [10, 20, 30, 40],
    }
    for number, file in enumerate(("version-test-a.yaml", "version-test-b.yaml", "version-test-a.yaml"), start=1):
        name = deployment.load_pipeline_sample(file, *TENS)
        assert deployment.pipeline_status(name).pipeline.version == number
        answer = infer(deployment, protocol, f"{name}.pipeline", [PLAIN])
        assert answer.data == {"OUTPUT": expected[file]}
    deployment.unload_pipeline(name)


def test_an_update_loses_no_request(deployment: Deployment) -> None:
    name = deployment.load_pipeline_sample("version-test-a.yaml", *TENS)
    url = f"{deployment.data_url}/v2/pipelines/{name}/infer"
    with _asking(url) as answers:
        for file in ("version-test-b.yaml", "version-test-a.yaml", "version-test-b.yaml"):
            before = len(answers)
            deployment.wait_for(lambda before=before: len(answers) > before + 50, "answers")  # type: ignore[misc]
            deployment.load_pipeline_sample(file)
    assert set(answers) == {(200, (11.0, 12.0, 13.0, 14.0)), (200, (10.0, 20.0, 30.0, 40.0))}
    deployment.unload_pipeline(name)


@contextmanager
def _asking(url: str) -> Iterator[list[tuple[int, tuple[object, ...]]]]:
    """Ask a pipeline again and again while the block runs; status and data of each answer."""
    answers: list[tuple[int, tuple[object, ...]]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            while not stop.is_set():
                answer = client.post(url, json={"inputs": [PLAIN]})
                data = answer.json()["outputs"][0]["data"] if answer.status_code == 200 else [answer.text]
                answers.append((answer.status_code, tuple(data)))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        yield answers
    finally:
        stop.set()
        for asker in askers:
            asker.join()


CHAINED = {
    "tfsimple-extended.yaml": ("tfsimple-extended", (E, Z), (E, E)),
    "tfsimple-extended2.yaml": ("tfsimple-extended2", (E, Z), (E, E)),
    "tfsimple-extended-step.yaml": ("tfsimple-extended-step", (E, Z), (E, E)),
    "tfsimple-combined.yaml": ("tfsimple-combined", (E, E), (F, Z)),
    "tfsimple-combined-trigger.yaml": ("tfsimple-combined-trigger", (E, E), (F, Z)),
    "tfsimple-combined-step.yaml": ("tfsimple-combined-step", (E, E), (F, Z)),
}


@pytest.mark.parametrize("file", CHAINED)
def test_a_pipeline_fed_by_pipelines(deployment: Deployment, file: str) -> None:
    fed, inputs, outputs = CHAINED[file]
    deployment.load_pipeline_sample("tfsimple.yaml", *TFSIMPLES)
    loaded = ["tfsimple"]
    if "combined" in file:
        loaded += [deployment.load_pipeline_sample(f"tfsimple-extended{n}.yaml") for n in ("", "2")]
    loaded.append(deployment.load_pipeline_sample(file))
    answer = infer(deployment, "rest", "tfsimple.pipeline", pair(V))
    assert answer.ok, answer
    key = answer.headers["x-seldon-request-key"][0].encode()

    def mine(record: object) -> bool:
        return record.key == key and ("pipeline", fed.encode()) in record.headers  # type: ignore[attr-defined]

    base = f"{topics.PREFIX}.pipeline.{fed}"
    entered = asyncio.run(topics.wait_for_record(deployment, f"{base}.inputs", mine))
    request = type_inputs(oip.ModelInferRequest.FromString(entered.value or b""))
    assert {t.name: list(t.contents.int_contents) for t in request.inputs} == dict(
        zip(("INPUT0", "INPUT1"), inputs, strict=True)
    )
    left = asyncio.run(topics.wait_for_record(deployment, f"{base}.outputs", mine))
    response = type_outputs(oip.ModelInferResponse.FromString(left.value or b""))
    assert {t.name: list(t.contents.int_contents) for t in response.outputs} == dict(
        zip(("OUTPUT0", "OUTPUT1"), outputs, strict=True)
    )
    for name in reversed(loaded):
        deployment.unload_pipeline(name)


def test_a_producer_feeds_a_pipeline_and_a_model(deployment: Deployment) -> None:
    name = deployment.load_pipeline_sample("tfsimples.yaml", *TFSIMPLES)
    request = oip.ModelInferRequest()
    for tensor_name in ("INPUT0", "INPUT1"):
        added = request.inputs.add(name=tensor_name, datatype="INT32", shape=[1, 16])
        added.contents.int_contents.extend(V)
    for kind, resource, expected in (("pipeline", name, (E, E)), ("model", "tfsimple1", (E, Z))):
        base, key = f"{topics.PREFIX}.{kind}.{resource}", f"0.{resource}.by-a-producer".encode()
        headers = [("pipeline", resource.encode())]
        asyncio.run(topics.produce(deployment, f"{base}.inputs", request.SerializeToString(), key, headers))
        record = asyncio.run(
            topics.wait_for_record(deployment, f"{base}.outputs", lambda r, key=key: r.key == key)  # type: ignore[misc]
        )
        response = type_outputs(oip.ModelInferResponse.FromString(record.value or b""))
        assert [list(t.contents.int_contents) for t in response.outputs] == list(expected)
    deployment.unload_pipeline(name)
