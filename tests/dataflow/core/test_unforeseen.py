"""What should never be raised, and is: one request fails with a reason, all others go on."""

from typing import Any

import pytest

from services.dataflow.core.flow import Flow
from services.dataflow.core.merging import Rows
from services.dataflow.core.records import Arrival, Outcome, Place
from services.dataflow.core.single_pass import SinglePass
from services.dataflow.core.valve import NOTHING
from shared.kafka import headers
from tests.dataflow.core.builders import NAMES, partitions, request, response, topology

OWN = [(headers.PIPELINE, b"p"), (headers.PIPELINE_VERSION, b"1")]
INPUTS, OUTPUTS, ANSWERS = NAMES.pipeline_inputs("p"), NAMES.pipeline_outputs("p"), NAMES.model_outputs("a")


def made(**step: Any) -> Flow:
    shape = topology("p", {"a": step}, {"steps": ["a"]})
    return Flow(shape, partitions(shape))


def entered(flow: Flow, count: int, deadline_ms: int | None = None) -> Outcome:
    more = [] if deadline_ms is None else [(headers.DEADLINE, str(deadline_ms).encode())]
    value = request({"A": [1]})
    return flow.receive([Arrival(INPUTS, 0, n, b"0.p.%d" % n, value, [*OWN, *more]) for n in range(count)], 0)


def answer(number: int, *more: tuple[str, Any]) -> Arrival:
    return Arrival(ANSWERS, 0, number, b"0.p.%d" % number, response({"B": [1]}), [*OWN, *more])


def errors_of(outcome: Outcome) -> dict[bytes, tuple[bytes, dict[str, bytes]]]:
    return {
        each.key: (each.value, dict(each.headers))
        for each in outcome.emissions
        if each.topic == OUTPUTS and headers.ERROR in dict(each.headers)
    }


def test_a_record_that_cannot_be_taken_fails_its_request_alone() -> None:
    flow = made()
    entered(flow, 5)
    # A header without a value, as Kafka allows: nobody has thought of it.
    outcome = flow.receive([answer(0), answer(1), answer(2, (headers.ERROR, None)), answer(3), answer(4)], 0)
    answered = [each.key for each in outcome.emissions if headers.ERROR not in dict(each.headers)]
    assert answered == [b"0.p.0", b"0.p.1", b"0.p.3", b"0.p.4"]
    ((key, (text, marks)),) = errors_of(outcome).items()
    assert key == b"0.p.2"
    assert text.startswith(b"internal error: AttributeError: ")
    assert (marks[headers.ERROR], marks[headers.ERROR_CODE]) == (b"p", b"INTERNAL")
    (problem,) = outcome.problems
    assert (problem.kind, type(problem.cause)) == ("internal", AttributeError)
    assert sorted(outcome.finished) == sorted(Place(topic, 0, n) for topic in (INPUTS, ANSWERS) for n in range(5))
    assert (flow.in_flight, flow.load) == (0, NOTHING)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Methods by name, and the key of the request for which they fail."""
    keys: dict[str, bytes] = {}

    def let_fail(name: str) -> None:
        original = getattr(SinglePass, name)

        def method(self: SinglePass, first: Any, *rest: Any) -> Any:
            if name in keys and keys[name] == getattr(first, "key", first):
                raise RuntimeError(name)
            return original(self, first, *rest)

        monkeypatch.setattr(SinglePass, name, method)

    for name in ("_new_run", "_decide", "_expire"):
        let_fail(name)
    return keys


@pytest.mark.parametrize("where", ["_new_run", "_decide"])
def test_a_request_that_cannot_begin_is_answered_with_an_error(failing: dict[str, bytes], where: str) -> None:
    failing[where] = b"0.p.1"
    flow = made()
    outcome = entered(flow, 3)
    assert [each.key for each in outcome.emissions if each.topic == NAMES.model_inputs("a")] == [b"0.p.0", b"0.p.2"]
    ((key, (text, _)),) = errors_of(outcome).items()
    assert (key, text) == (b"0.p.1", f"internal error: RuntimeError: {where}".encode())
    assert outcome.finished == [Place(INPUTS, 0, 1)]
    assert flow.in_flight == 2


def test_one_deadline_that_cannot_be_dealt_with_keeps_no_other_from_its_own(failing: dict[str, bytes]) -> None:
    failing["_expire"] = b"0.p.0"
    flow = made()
    entered(flow, 3, deadline_ms=1000)
    outcome = flow.tick(1000)
    texts = {key: text for key, (text, _) in errors_of(outcome).items()}
    assert texts.pop(b"0.p.0") == b"internal error: RuntimeError: _expire"
    assert len(texts) == 2
    assert flow.in_flight == 0


def test_a_batch_that_cannot_be_made_fails_its_members_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = made(batch=2)
    original = Rows.__init__
    made_rows: list[Rows] = []

    def noted(self: Rows, *arguments: Any) -> None:
        original(self, *arguments)
        made_rows.append(self)
        if len(made_rows) == 2:
            self.message = None  # type: ignore[assignment]

    monkeypatch.setattr(Rows, "__init__", noted)
    outcome = entered(flow, 4)
    assert errors_of(outcome).keys() == {b"0.p.0", b"0.p.1"}
    assert len([each for each in outcome.emissions if each.topic == NAMES.model_inputs("a")]) == 1
    assert flow.in_flight == 2
