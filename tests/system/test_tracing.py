"""One pipeline request is one trace, through Envoy and through Kafka, and a collector that is missed harms nothing."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from compose.process.stack import Stack
from tests.peers.otlp import Receiver, receiver
from tests.peers.ports import deployment_offset, free_port
from tests.system.calls import PROTOCOLS, Answer, Protocol, infer, tensor
from tests.system.deployment import ROOT, Deployment
from tests.system.traces import Tree, below, drawn, size, span

pytestmark = [pytest.mark.system, pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]

HOME = ROOT / ".seldon" / "tracing-test"
CALLER = "b7ad6b7169203331"
MODELS = ("tfsimple1", "tfsimple2", "tfsimple3")
PIPELINE = """
apiVersion: mlops.seldon.io/v1alpha1
kind: Pipeline
metadata: {name: three-steps}
spec:
  steps:
  - name: tfsimple1
  - name: tfsimple2
    inputs: [tfsimple1]
    tensorMap: {tfsimple1.outputs.OUTPUT0: INPUT0, tfsimple1.outputs.OUTPUT1: INPUT1}
  - name: tfsimple3
    inputs: [tfsimple2]
    tensorMap: {tfsimple2.outputs.OUTPUT0: INPUT0, tfsimple2.outputs.OUTPUT1: INPUT1}
  output: {steps: [tfsimple3]}
"""
INPUTS = [tensor(name, "INT32", [1, 16], list(range(16))) for name in ("INPUT0", "INPUT1")]
INFERENCE = "inference.GRPCInferenceService/ModelInfer"
TOPICS = "seldon.default"


@dataclass
class Traced:
    """A deployment that sends its spans to a port of this machine, and what listens there at first."""

    deployment: Deployment
    received: Receiver
    listening: contextlib.AsyncExitStack
    """Its closing ends the receiver."""

    async def ask(self, protocol: Protocol, resource: str, trace: str, request_id: str, sampled: bool = True) -> Answer:
        headers = {"traceparent": f"00-{trace}-{CALLER}-{sampled:02x}", "x-request-id": request_id}
        return await asyncio.to_thread(infer, self.deployment, protocol, resource, INPUTS, headers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced() -> AsyncIterator[Traced]:
    """Few parts of its own; every request is traced whose caller has not decided."""
    port = free_port()
    async with contextlib.AsyncExitStack() as listening:
        received = await listening.enter_async_context(receiver(port))
        stack = Stack(HOME, deployment_offset(), installed_in=ROOT / ".seldon").with_settings(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"127.0.0.1:{port}",
                "TRACING_RATIO": "1",
                "TRACING_DISABLE": "false",
                "COMPOSE_PROFILES": "",
            }
        )
        await asyncio.to_thread(stack.down, purge=True)
        deployment = Deployment(stack)
        try:
            await asyncio.to_thread(_start, deployment)
            yield Traced(deployment, received, listening)
        finally:
            await asyncio.to_thread(stack.down)


def _start(deployment: Deployment) -> None:
    deployment.stack.up()
    deployment.stack.wait_ready(timeout=240)
    for model in MODELS:
        deployment.load_sample(f"{model}.yaml")
    deployment.load_pipeline(PIPELINE)


def _through_envoy(cluster: str, *inside: Tree) -> Tree:
    return span("envoy: ingress", span(f"envoy: router {cluster} egress", *inside))


def _step(model: str, *afterwards: Tree) -> Tree:
    """From the record that asks a model to what follows from its answer. Triton has no spans of its own."""
    answered = span(f"dataflow: {TOPICS}.model.{model}.outputs receive", *afterwards)
    return span(
        f"dataflow: {TOPICS}.model.{model}.inputs send",
        span(
            "modelgateway: Consume",
            span(f"modelgateway: {INFERENCE}", _through_envoy(f"{model}_1_grpc")),
            span("modelgateway: Produce", answered),
        ),
        span("modelgateway: WaitForWorker"),
    )


def _request(protocol: Protocol) -> Tree:
    answer = span(f"dataflow: {TOPICS}.pipeline.three-steps.outputs send", span("pipelinegateway: Consume"))
    steps = _step("tfsimple1", _step("tfsimple2", _step("tfsimple3", answer)))
    kafka = span("pipelinegateway: Produce", span(f"dataflow: {TOPICS}.pipeline.three-steps.inputs receive", steps))
    rest, grpc = "/v2/models/{model_name}/infer", INFERENCE
    if protocol == "rest":
        return _through_envoy("three-steps_pipeline_http", span(f"pipelinegateway: {rest}", kafka))
    return _through_envoy("three-steps_pipeline_grpc", span(f"pipelinegateway: {grpc}", kafka))


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_pipeline_request_is_one_tree(traced: Traced, protocol: Protocol) -> None:
    trace, request_id, expected = uuid.uuid4().hex, f"three-{protocol}", _request(protocol)
    answer = await traced.ask(protocol, "three-steps.pipeline", trace, request_id)
    assert answer.ok, answer.error
    spans = traced.received.spans
    await traced.received.until(lambda all_: sum(one.trace == trace for one in all_) >= size(expected))
    tree = [one for one in spans if one.trace == trace]
    print("\n".join(drawn(tree, CALLER)))
    assert below(tree, CALLER) == (expected,)
    # It is found by the caller's own id, in every span that is about a request, and in no other trace.
    assert {one.attributes.get("x-request-id") for one in tree} == {request_id}
    assert {one.trace for one in spans if one.attributes.get("x-request-id") == request_id} == {trace}
    assert not any(one.failed for one in tree)
    for one in tree:
        assert 0 < one.start <= one.end


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_callers_decision_against_a_trace_holds_to_the_end(traced: Traced, protocol: Protocol) -> None:
    without, after = uuid.uuid4().hex, uuid.uuid4().hex
    assert (await traced.ask(protocol, "three-steps.pipeline", without, "without", sampled=False)).ok
    assert (await traced.ask(protocol, "three-steps.pipeline", after, "after")).ok
    count = size(_request(protocol))
    await traced.received.until(lambda all_: sum(one.trace == after for one in all_) >= count)
    assert not any(
        one.trace == without or one.attributes.get("x-request-id") == "without" for one in traced.received.spans
    )


async def test_the_control_plane_has_traces_of_its_own(traced: Traced) -> None:
    def loads() -> set[tuple[str, ...]]:
        spans = traced.received.spans
        roots = [one for one in spans if not one.parent and (one.service, one.name) == ("seldon-agent", "LoadModel")]
        return {tuple(name for name, _ in below(spans, root.id)) for root in roots}

    expected = (
        "agent: Download",
        "agent: inference.GRPCInferenceService/RepositoryModelLoad",
        "agent: seldon.mlops.agent.AgentService/AgentEvent",
    )
    await traced.received.until(lambda _: expected in loads())
    assert any(one.name == "seldon.mlops.scheduler.Scheduler/LoadModel" for one in traced.received.spans)


async def test_nobody_waits_for_a_lost_collector(traced: Traced) -> None:
    trace = uuid.uuid4().hex
    await traced.listening.aclose()
    for protocol in PROTOCOLS:
        for resource in ("three-steps.pipeline", "tfsimple1"):
            for _ in range(20):
                answer = await traced.ask(protocol, resource, trace, "lost")
                assert answer.ok, answer.error
    assert not any(one.trace == trace for one in traced.received.spans)


async def test_at_ratio_0_only_what_callers_decided_for_is_traced(traced: Traced) -> None:
    await traced.listening.aclose()
    deployment = Deployment(traced.deployment.stack.with_settings({"TRACING_RATIO": "0"}))
    changed = await asyncio.to_thread(deployment.stack.up)
    assert {"envoy", "scheduler", "pipelinegateway", "modelgateway"} <= set(changed)
    await asyncio.to_thread(deployment.stack.wait_ready, 240)
    await asyncio.to_thread(_wait_for_pipeline, deployment)
    # Only now: those that were restarted sent their last spans before.
    async with receiver(traced.received.port) as received:
        for protocol in PROTOCOLS:
            answer = await asyncio.to_thread(infer, deployment, protocol, "three-steps.pipeline", INPUTS)
            assert answer.ok, answer.error
        trace, now = uuid.uuid4().hex, Traced(deployment, received, traced.listening)
        assert (await now.ask("rest", "three-steps.pipeline", trace, "decided")).ok
        await received.until(lambda all_: sum(one.trace == trace for one in all_) >= size(_request("rest")))
        assert {one.trace for one in received.spans} == {trace}


def _wait_for_pipeline(deployment: Deployment) -> None:
    deployment.wait_for(lambda: deployment.pipeline_ready("three-steps"), "the pipeline to be back")
