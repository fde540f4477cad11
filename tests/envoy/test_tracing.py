"""Spans of a real Envoy: whose they are, which requests have them, and what becomes of requests without a collector."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio
from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from shared.tracing.config import Enabled
from tests.envoy.conftest import World, open_world
from tests.envoy.test_validate import judge
from tests.peers.inference import FAIL_SERVER
from tests.peers.mesh import Mesh
from tests.peers.otlp import ReceivedSpan, Receiver, receiver

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
IRIS = {"seldon-model": "iris"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def received() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def traced(received: Receiver) -> AsyncIterator[World]:
    """Every request is traced whose caller has not decided."""
    async with open_world(Enabled(received.endpoint)) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sampled_never(received: Receiver) -> AsyncIterator[World]:
    """Only requests are traced whose caller has decided so."""
    async with open_world(Enabled(received.endpoint, ratio=0.0)) as made:
        yield made


async def ask(world: World, **headers: str) -> dict[str, str]:
    """Asks the model `iris` and tells which headers its server got, names in lower case."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await world.http.get(f"{world.url}/v2/models/iris", headers=IRIS | named)
    assert answer.status_code == 200
    return {name.lower(): value for name, value in answer.json()["headers"].items()}


async def of_request(received: Receiver, request_id: str, count: int) -> list[ReceivedSpan]:
    """Wait for the spans of one request, in the order of their beginning."""

    def found(spans: Sequence[ReceivedSpan]) -> list[ReceivedSpan]:
        return [span for span in spans if span.attributes.get("x-request-id") == request_id]

    await received.until(lambda spans: len(found(spans)) >= count)
    return sorted(found(received.spans), key=lambda span: span.start)


async def test_a_span_for_the_request_and_one_for_the_models_answer(traced: World, received: Receiver) -> None:
    got = await ask(traced, traceparent=SAMPLED, tracestate="a=1", baggage="b=2", x_request_id="both")
    ingress, call = await of_request(received, "both", 2)
    assert {(span.service, span.trace, span.failed) for span in (ingress, call)} == {("seldon-envoy", TRACE, False)}
    assert (ingress.kind, ingress.parent) == ("SERVER", CALLER)
    assert (call.kind, call.parent, call.name) == ("CLIENT", ingress.id, "router iris_1_http egress")
    assert got["traceparent"] == f"00-{TRACE}-{call.id}-01"
    assert (got["tracestate"], got["baggage"]) == ("a=1", "b=2")


async def test_a_request_of_no_trace_begins_one(traced: World, received: Receiver) -> None:
    got = await ask(traced, x_request_id="first")
    ingress, call = await of_request(received, "first", 2)
    assert ingress.parent == ""
    assert got["traceparent"] == f"00-{ingress.trace}-{call.id}-01"


async def test_grpc_calls_too(traced: World, received: Receiver) -> None:
    metadata = (("seldon-model", "iris"), ("traceparent", SAMPLED), ("x-request-id", "over-grpc"))
    await traced.grpc.ModelInfer(oip.ModelInferRequest(), metadata=metadata)
    ingress, call = await of_request(received, "over-grpc", 2)
    assert (ingress.trace, ingress.parent, call.parent) == (TRACE, CALLER, ingress.id)
    assert call.name == "router iris_1_grpc egress"


async def test_each_attempt_has_its_span(traced: World, received: Receiver) -> None:
    answer = await traced.http.get(
        f"{traced.url}/v2/models/iris", headers={**IRIS, FAIL_SERVER: "404", "x-request-id": "twice"}
    )
    assert answer.json()["who"] == "agent"
    ingress, *attempts = await of_request(received, "twice", 3)
    assert [span.parent for span in attempts] == [ingress.id] * 2
    assert [span.attributes["http.status_code"] for span in attempts] == ["404", "200"]


async def test_a_callers_decision_against_a_trace_holds(traced: World, received: Receiver) -> None:
    got = await ask(traced, traceparent=UNSAMPLED, x_request_id="not-this-one")
    assert got["traceparent"].startswith(f"00-{TRACE}-")
    assert got["traceparent"].endswith("-00")
    # Envoy sends in order: what comes after it says that it will not come.
    await ask(traced, x_request_id="after-it")
    await of_request(received, "after-it", 2)
    assert not any(span.attributes.get("x-request-id") == "not-this-one" for span in received.spans)


async def test_a_callers_decision_for_a_trace_holds(sampled_never: World, received: Receiver) -> None:
    for request_id in ("mine", "7d1b3a9c-2f3e-4b5a-8c6d-0123456789ab"):
        got = await ask(sampled_never, x_request_id=f"undecided {request_id}")
        assert got["traceparent"].endswith("-00")
        got = await ask(sampled_never, traceparent=SAMPLED, x_request_id=request_id)
        assert got["traceparent"].endswith("-01")
        # Envoy would by itself note in an id that is a UUID what it decided.
        assert got["x-request-id"] == request_id
        assert len(await of_request(received, request_id, 2)) == 2
    assert not any("undecided" in str(span.attributes.get("x-request-id")) for span in received.spans)


async def test_off_leaves_requests_as_they_are(world: World) -> None:
    assert "traceparent" not in await ask(world)
    got = await ask(world, traceparent=SAMPLED, tracestate="a=1", baggage="b=2")
    assert (got["traceparent"], got["tracestate"], got["baggage"]) == (SAMPLED, "a=1", "b=2")
    assert "tracing" in world.mesh.bootstrap()
    assert "envoy.tracers" not in world.mesh.bootstrap()


@pytest.mark.parametrize("endpoint", ["127.0.0.1:1", "no-such-host.invalid:4317"])
async def test_without_a_collector_everything_is_answered(endpoint: str) -> None:
    async with open_world(Enabled(endpoint)) as alone:
        answers = await asyncio.gather(*(ask(alone) for _ in range(200)))
        assert len(answers) == 200
        answer = await alone.grpc.ModelInfer(oip.ModelInferRequest(), metadata=(("seldon-model", "iris"),))
        assert answer.model_name == "iris_1"


@pytest.mark.parametrize("ratio", [0.0, 0.000001, 0.01, 1.0])
async def test_every_ratio_is_valid(tmp_path_factory: pytest.TempPathFactory, ratio: float) -> None:
    folder = tmp_path_factory.mktemp("envoy")
    config = folder / "envoy.yaml"
    config.write_text(Mesh(folder, *range(20_001, 20_009), tracing=Enabled("collector:4317", ratio)).bootstrap())
    code, output = await judge(config)
    assert code == 0, output
