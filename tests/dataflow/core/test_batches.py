"""Requests that go to a model together, and their answers apart again."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dataflow.core import batch_header
from services.dataflow.core.batch_header import Share
from services.dataflow.core.merging import merged, split
from services.dataflow.core.messages import parse
from shared.errors import InvalidInput
from shared.kafka.headers import BATCH
from tests.dataflow.core.builders import NAMES, read_request, read_response, response, topology
from tests.dataflow.core.models import MODELS
from tests.dataflow.core.world import ModelError, World, members

TENFOLD = {"a": lambda tensors: {"B": np.array(tensors["A"]) * 10}, "b": lambda tensors: tensors}


def broken(_: Any) -> Any:
    raise ModelError("broken")


def world(size: int, raw: bool = False, models: Any = TENFOLD, **step: Any) -> World:
    shape = topology("p", {"a": {"batch": size, **step}}, {"steps": ["a"]})
    return World(shape, models, raw=raw)


@pytest.mark.parametrize("raw", [False, True])
def test_two_requests_are_one_call_and_two_answers(raw: bool) -> None:
    flow = world(3, raw).send({"A": [[1, 2]]}, "0.p.x", id="ix").send({"A": [[3, 4], [5, 6]]}, "0.p.y", id="iy")
    (call,) = flow.log
    assert read_request(call.value) == [("A", [[1, 2], [3, 4], [5, 6]])]
    assert (call.key, members(call)) == (b"0.p.y", "1/0.p.x,2/0.p.y")
    assert parse(call.value, is_request=True).id == b"iy"
    assert dict(call.headers)["x-request-id"] == b"0.p.y"
    flow.run()
    assert flow.answers() == {"0.p.x": [("B", [[10, 20]])], "0.p.y": [("B", [[30, 40], [50, 60]])]}
    answers = {record.key: dict(record.headers) for record in flow.on(flow.shape.output_topic)}
    assert answers[b"0.p.x"]["x-request-id"] == b"0.p.x"
    assert {headers["x-seldon-route"] for headers in answers.values()} == {b":a_1:"}
    assert all(BATCH not in headers for headers in answers.values())
    flow.check_done()


def test_a_request_that_is_big_enough_goes_alone_and_at_once() -> None:
    flow = world(2).send({"A": [[1], [2]]})
    assert members(flow.log[0]) is None
    assert flow.run().answered == [("B", [[10], [20]])]
    flow.check_done()


def test_a_window_ends_the_wait() -> None:
    flow = world(9, batch_window=50).send({"A": [[1]]}, "0.p.x").pass_time(30).send({"A": [[2]]}, "0.p.y")
    assert flow.pass_time(19).log == []
    assert members(flow.pass_time(1).log[0]) == "1/0.p.x,1/0.p.y"
    assert len(flow.run().answers()) == 2
    flow.check_done()


def test_without_a_window_half_of_the_earliest_members_time_is_for_the_model() -> None:
    flow = world(9).send({"A": [[1]]}, "0.p.x", deadline=40_250).send({"A": [[2]]}, "0.p.y", deadline=10_250)
    assert flow.pass_time(4_999).log == []
    assert members(flow.pass_time(1).log[0]) == "1/0.p.x,1/0.p.y"


def test_a_lone_request_without_deadline_waits_for_the_join_window() -> None:
    flow = world(9).send({"A": [[1]]}).pass_time(59_999)
    assert flow.log == []
    assert flow.pass_time(1).run().answered == [("B", [[10]])]


def test_partitions_and_steps_have_batches_of_their_own() -> None:
    shape = topology("p", {"a": {"batch": 2}, "b": {"batch": 2}}, {"steps": ["a"]})
    flow = World(shape, TENFOLD).send({"A": [[1]]}, "0.p.x").send({"A": [[2]]}, "1.p.y")
    assert flow.log == []
    flow.send({"A": [[3]]}, "1.p.z")
    assert [(record.topic, members(record)) for record in flow.log] == [
        (NAMES.model_inputs("a"), "1/1.p.y,1/1.p.z"),
        (NAMES.model_inputs("b"), "1/1.p.y,1/1.p.z"),
    ]


@pytest.mark.parametrize("other", [{"B": [[1]]}, {"A": [[1, 2]]}, {"A": [[1.5]]}, {"A": [[1]], "B": [[1]]}])
def test_what_does_not_fit_begins_a_new_batch(other: dict[str, Any]) -> None:
    flow = world(3).send({"A": [[1]]}, "0.p.x").send(other, "0.p.y")
    assert [record.key for record in flow.log] == [b"0.p.x"]
    assert [record.key for record in flow.pass_time(60_000).log] == [b"0.p.x", b"0.p.y"]


def test_raw_and_typed_requests_share_a_batch() -> None:
    flow = world(2).send({"A": [[1]]}, "0.p.x")
    flow.raw = True
    flow.send({"A": [[2]]}, "0.p.y")
    assert read_request(flow.log[0].value) == [("A", [[1], [2]])]
    assert parse(flow.log[0].value, is_request=True).raws == [b"\x01\0\0\0\x02\0\0\0"]


def test_an_answer_without_the_batchs_rows_goes_to_everybody() -> None:
    shape = topology(
        "p", {"iris": {}, "iris-drift-detect": {"batch": 2, "inputs": ["p"]}}, {"steps": ["iris", "iris-drift-detect"]}
    )
    flow = World(shape, MODELS).send({"predict": [[1.0, 2.0]]}, "0.p.x").send({"predict": [[3.0, 4.0]]}, "0.p.y").run()
    answer = [("predict", [[2]]), ("is_drift", [0])]
    assert flow.answers() == {"0.p.x": answer, "0.p.y": answer}
    flow.check_done()


def test_a_failure_reaches_every_member() -> None:
    flow = world(2, models={"a": broken}).send({"A": [[1]]}, "0.p.x").send({"A": [[2]]}, "0.p.y").run()
    assert flow.answers() == {"0.p.x": "a : broken", "0.p.y": "a : broken"}
    flow.check_done()


def test_a_side_branch_is_fed_even_when_the_callers_are_gone() -> None:
    shape = topology("p", {"a": {}, "b": {"batch": 9, "batch_window": 5000}}, {"steps": ["a"]})
    flow = World(shape, TENFOLD).send({"A": [[1]]}, "0.p.x", deadline=1000)
    flow.answer("a")
    assert flow.pass_time(4999).flow.in_flight == 1
    assert flow.inputs_of("b") == []
    assert flow.pass_time(1).inputs_of("b") == [[("A", [[1]])]]
    flow.check_done()


def test_an_expired_member_leaves_a_batch_whose_answer_it_waited_for() -> None:
    flow = world(2, batch_window=5000).send({"A": [[1]]}, "0.p.x", deadline=1000).pass_time(1000)
    assert flow.answered.startswith("p : no answer within the deadline: waiting for the batch of step a to fill")
    assert flow.send({"A": [[2]]}, "0.p.y").pass_time(4999).inputs_of("a") == []
    flow.pass_time(1).run()
    assert flow.answers()["0.p.y"] == [("B", [[20]])]
    flow.check_done()


def test_a_batch_in_the_middle_goes_on_under_each_members_name() -> None:
    shape = topology("p", {"a": {"batch": 2}, "b": {"inputs": ["a"]}}, {"steps": ["b"]})
    flow = World(shape, TENFOLD).send({"A": [[1]]}, "0.p.x").send({"A": [[2]]}, "0.p.y").run()
    assert [(record.key, read_request(record.value)) for record in flow.on(NAMES.model_inputs("b"))] == [
        (b"0.p.x", [("B", [[10]])]),
        (b"0.p.y", [("B", [[20]])]),
    ]
    assert len(flow.answers()) == 2
    flow.check_done()


def test_members_of_a_batch_that_was_sent_before_a_restart_wait_for_its_answer() -> None:
    flow = world(2)
    header = [(BATCH, b"1/0.p.x,1/0.p.y")]
    flow.flow.emitted_before(NAMES.model_inputs("a"), b"0.p.y", header)
    flow.put(NAMES.model_outputs("a"), b"0.p.y", response({"B": [[10], [20]]}), header)
    assert flow.finished == []
    flow.send({"A": [[1]]}, "0.p.x").send({"A": [[2]]}, "0.p.y")
    assert flow.on(NAMES.model_inputs("a")) == []
    assert flow.answers() == {"0.p.x": [("B", [[10]])], "0.p.y": [("B", [[20]])]}
    flow.check_done()


def test_a_wrong_batch_header_is_a_problem_of_its_record_only() -> None:
    flow = world(1).send({"A": [[1]]})
    flow.put(NAMES.model_outputs("a"), b"0.p.a", response({"B": [[10]]}), [*flow.log[0].headers, (BATCH, b"junk")])
    assert flow.problems == ["batch_header"]
    assert flow.answered == [("B", [[10]])]


@given(st.lists(st.builds(Share, st.binary(), st.integers(0, 10**6), st.integers(0, 100)), min_size=1))
def test_the_header_comes_back_as_it_went(shares: list[Share]) -> None:
    assert batch_header.decode(batch_header.encode(shares)) == shares


@pytest.mark.parametrize("value", [b"", b"junk", b"1", b"x/key", b"1/key/x", b"1/key/2/3", b"1/a,,1/b", b"\xff/a"])
def test_any_other_header_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidInput, match="rows/key"):
        batch_header.decode(value)


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=5), st.integers(0, 3), st.booleans(), st.booleans(), st.randoms()
)
def test_what_is_merged_comes_apart_as_it_was(
    rows: list[int], width: int, raw: bool, texts: bool, choose: random.Random
) -> None:
    def element() -> Any:
        return choose.randbytes(choose.randint(0, 4)) if texts else choose.randint(-9, 9)

    made = [
        np.array([element() for _ in range(count * width)], object if texts else np.int32).reshape(count, width)
        for count in rows
    ]
    parts = [parse(response({"A": each, "B": each}, raw=raw), is_request=False) for each in made]
    again = [read_response(part.encoded(is_request=False)) for part in split(merged(parts), rows)]
    assert again == [[("A", each.tolist()), ("B", each.tolist())] for each in made]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.integers(0, 2)), min_size=1, max_size=8),
    st.integers(1, 6),
    st.randoms(use_true_random=False),
)
def test_everybody_gets_the_own_rows(requests: list[tuple[int, bool, int]], size: int, choose: Any) -> None:
    """Random sizes, encodings, partitions and moments; the step behind the batch reads each request alone."""
    shape = topology("p", {"a": {"batch": size, "batch_window": 10}, "b": {"inputs": ["a"]}}, {"steps": ["b"]})
    flow = World(shape, TENFOLD)
    expected = {}
    for index, (rows, raw, partition) in enumerate(requests):
        flow.raw = raw
        content = [[100 * index + row] for row in range(rows)]
        flow.send({"A": content}, f"{partition}.p.{index}", deadline=60_000)
        expected[f"{partition}.p.{index}"] = [("B", [[10 * number] for (number,) in content])]
        for _ in range(choose.randint(0, 2)):
            flow.answer() if choose.random() < 0.7 else flow.pass_time(choose.randint(0, 12))
    flow.pass_time(10).run()
    assert flow.answers() == expected
    flow.check_done()
