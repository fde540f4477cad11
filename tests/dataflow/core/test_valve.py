"""How much is let in, and what a flow says it holds."""

from services.dataflow.core.flow import Flow
from services.dataflow.core.records import Arrival
from services.dataflow.core.valve import NOTHING, Load, Valve
from shared.kafka import headers
from tests.dataflow.core.builders import NAMES, partitions, request, response, topology

OWN = [(headers.PIPELINE, b"p"), (headers.PIPELINE_VERSION, b"1")]
INPUT = request({"A": [1]})
ANSWER = response({"B": [1, 2]})


def test_it_closes_at_either_limit_and_opens_well_below_both() -> None:
    valve = Valve(most_requests=4, most_bytes=100)
    valve.change(NOTHING, Load(3, 99))
    assert valve.is_open
    valve.change(NOTHING, Load(0, 1))
    assert not valve.is_open
    valve.change(Load(3, 99), Load(3, 79))
    assert not valve.is_open
    valve.change(Load(3, 79), Load(3, 74))
    assert valve.is_open
    valve.change(NOTHING, Load(1, 0))
    assert not valve.is_open


def _arrival(topic: str, offset: int, key: bytes, value: bytes) -> Arrival:
    return Arrival(topic, 0, offset, key, value, OWN)


def test_a_flow_holds_what_its_requests_were_sent_until_they_end() -> None:
    shape = topology("p", {"a": {}, "b": {"inputs": ["a"]}}, {"steps": ["b"]})
    flow = Flow(shape, partitions(shape))
    inputs = NAMES.pipeline_inputs("p")
    flow.receive([_arrival(inputs, number, b"0.p.%d" % number, INPUT) for number in range(3)], 0)
    assert flow.load == Load(3, 3 * len(INPUT))
    flow.receive([_arrival(NAMES.model_outputs("a"), 0, b"0.p.0", ANSWER)], 0)
    assert flow.load == Load(3, 3 * len(INPUT) + len(ANSWER))
    flow.receive([_arrival(NAMES.model_outputs("b"), 0, b"0.p.0", ANSWER)], 0)
    assert flow.load == Load(2, 2 * len(INPUT))
    flow.tick(3_600_000)
    assert flow.load == NOTHING


def test_what_came_before_its_request_is_not_counted_until_that_is_let_in() -> None:
    """As after a restart: only letting requests in makes it go away."""
    shape = topology("p", {"a": {}, "b": {"inputs": ["a"]}}, {"steps": ["b"]})
    flow = Flow(shape, partitions(shape))
    flow.receive([_arrival(NAMES.model_outputs("a"), 0, b"0.p.0", ANSWER)], 0)
    assert (flow.in_flight, flow.load) == (1, NOTHING)
    flow.receive([_arrival(NAMES.pipeline_inputs("p"), 0, b"0.p.0", INPUT)], 0)
    assert flow.load == Load(1, len(INPUT) + len(ANSWER))
