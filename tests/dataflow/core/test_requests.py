"""What a request meets besides plain joins: time, failures, duplicates, side branches, bad records."""

from typing import Any

from shared.kafka.headers import ERROR
from tests.dataflow.core.builders import NAMES, response, topology
from tests.dataflow.core.world import START, ModelError, World

SAME = {name: (lambda tensors: tensors) for name in "abcde"}
ONE = {"A": [1]}
PAIR: Any = ({"a": {}, "b": {}}, {"steps": ["a", "b"]})
CHAIN: Any = ({"a": {}, "b": {"inputs": ["a"]}}, {"steps": ["b"]})


def broken(_: Any) -> Any:
    raise ModelError("rpc error: code = Internal desc = broken")


def world(*args: Any, models: Any = SAME, **kwargs: Any) -> World:
    return World(topology("p", *args), models, **kwargs)


class TestDeadlines:
    def test_an_expired_request_names_the_model_that_it_waits_for(self) -> None:
        flow = world(*CHAIN).send(ONE, deadline=10_000)
        flow.answer("a")
        flow.pass_time(9_749)
        assert flow.answers() == {}
        flow.pass_time(1)
        assert flow.answered == "p : no answer within the deadline: waiting for model b [DEADLINE_EXCEEDED]"
        flow.check_done()

    def test_all_that_is_waited_for_is_named(self) -> None:
        flow = world(*PAIR).send(ONE, deadline=1000).pass_time(899)
        assert flow.answers() == {}
        assert flow.pass_time(1).answered.startswith("p : no answer within the deadline: waiting for model a, model b")

    def test_an_answer_after_the_deadline_goes_nowhere(self) -> None:
        flow = world(*CHAIN).send(ONE, deadline=1000).pass_time(1000).run()
        assert len(flow.log) == 2
        flow.check_done()

    def test_a_request_that_comes_too_late_is_answered_at_once(self) -> None:
        flow = world(*CHAIN).send(ONE, deadline=-1)
        assert "within the deadline" in flow.answered
        assert flow.asked == []
        flow.check_done()

    def test_a_wrong_deadline_is_none(self) -> None:
        flow = world(*CHAIN).send(ONE, headers=[("seldon-deadline-ms", b"soon")]).run()
        assert flow.answered == [("A", [1])]

    def test_without_a_deadline_a_silent_model_is_given_up_in_the_end(self) -> None:
        flow = world(*CHAIN).send(ONE).pass_time(599_000)
        assert flow.answers() == {}
        flow.pass_time(1_000)
        assert flow.answered == "p : no answer and no record for 600 s: waiting for model a [DEADLINE_EXCEEDED]"
        flow.check_done()


class TestWindows:
    def test_an_inner_join_without_deadline_waits_for_its_window(self) -> None:
        flow = world({"a": {}, "b": {}}, {"steps": ["a", "b"], "window": 500}).send(ONE)
        flow.answer("a")
        flow.pass_time(499)
        assert flow.answers() == {}
        flow.pass_time(1)
        assert flow.answered == "p : the output waited 500 ms in vain for b.outputs"
        flow.check_done()

    def test_the_window_begins_with_the_first_side(self) -> None:
        flow = world(*PAIR).send(ONE).pass_time(100_000)
        flow.answer("b")
        flow.pass_time(59_999)
        flow.answer("a")
        assert flow.answered == [("A", [1]), ("A", [1])]

    def test_an_outer_join_takes_what_there_is_when_its_window_ends(self) -> None:
        flow = world({"a": {}, "b": {}}, {"steps": ["a", "b"], "join": "outer", "window": 500}).send(ONE, deadline=9000)
        flow.answer("b")
        assert flow.pass_time(500).answered == [("A", [1])]

    def test_an_outer_output_takes_what_there_is_when_the_deadline_ends(self) -> None:
        flow = world({"a": {}, "b": {}}, {"steps": ["a", "b"], "join": "outer"}).send(ONE, deadline=9000)
        flow.answer("b")
        assert flow.pass_time(9000).answered == [("A", [1])]
        flow.check_done()

    def test_an_outer_join_does_not_wait_for_what_cannot_come(self) -> None:
        flow = world({"a": {}, "b": {}}, {"steps": ["a", "b"], "join": "outer"}, models={**SAME, "a": broken})
        assert flow.send(ONE).run().answered == [("A", [1])]
        assert flow.now == START


class TestFailures:
    def test_a_side_branch_fails_alone(self) -> None:
        steps = {"a": {}, "b": {}, "c": {"inputs": ["b"]}}
        flow = world(steps, {"steps": ["a"]}, models={**SAME, "b": broken}).send(ONE)
        flow.answer("b")
        assert flow.answers() == {}
        assert flow.run().answered == [("A", [1])]
        flow.check_done()

    def test_a_failure_reaches_the_caller_past_all_that_depends_on_it(self) -> None:
        steps = {"a": {}, "b": {"inputs": ["a"]}, "c": {"inputs": ["b"]}, "d": {}}
        flow = world(steps, {"steps": ["c", "d"]}, models={**SAME, "a": broken}).send(ONE, deadline=1000)
        flow.answer("a")
        assert flow.answered == "a : rpc error: code = Internal desc = broken"
        flow.check_done()

    def test_what_a_model_says_goes_before_what_we_say(self) -> None:
        steps: Any = {"a": {}, "b": {}}
        flow = world(steps, {"steps": ["a.outputs.missing", "b"], "join": "any"}, models={**SAME, "b": broken})
        assert flow.send(ONE).run().answered == "b : rpc error: code = Internal desc = broken"

    def test_an_empty_answer_starves_its_readers(self) -> None:
        flow = world(*CHAIN, models={**SAME, "a": lambda _: {}}).send(ONE).run()
        assert flow.answered == "p : step b got nothing: a.outputs has no tensors"
        flow.check_done()

    def test_the_status_of_an_error_travels_with_it(self) -> None:
        flow = world(*CHAIN).send(ONE)
        headers = [*flow.asked[0].headers, (ERROR, b"a"), ("seldon-error-code", b"UNAVAILABLE")]
        flow.put(NAMES.errors, b"0.p.a", b"not loaded", headers)
        assert flow.answered == "a : not loaded [UNAVAILABLE]"

    def test_a_pipeline_without_output_reports_failures_only(self) -> None:
        fine = world({"a": {}}, None).send(ONE)
        assert (fine.answers(), fine.flow.in_flight) == ({}, 0)
        failing = world({"a": {}, "b": {"inputs": ["a"]}}, None, models={**SAME, "a": broken}).send(ONE).run()
        assert failing.answered == "a : rpc error: code = Internal desc = broken"
        failing.check_done()


class TestSideBranches:
    def test_are_fed_after_the_answer(self) -> None:
        flow = world({"a": {}, "b": {}, "c": {"inputs": ["b"]}}, {"steps": ["a"]}).send(ONE)
        flow.answer("a")
        assert flow.answered == [("A", [1])]
        assert flow.flow.in_flight == 1
        flow.run()
        assert flow.inputs_of("c") == [[("A", [1])]]
        flow.check_done()

    def test_are_let_go_at_the_deadline(self) -> None:
        flow = world({"a": {}, "b": {}, "c": {"inputs": ["b"]}}, {"steps": ["a"]}).send(ONE, deadline=1000)
        flow.answer("a")
        flow.pass_time(1000)
        flow.check_done()
        assert len(flow.answers()) == 1

    def test_what_nobody_reads_is_not_waited_for(self) -> None:
        flow = world({"a": {}, "b": {}}, {"steps": ["a"]}).send(ONE)
        flow.answer("a")
        flow.check_done()
        assert NAMES.model_outputs("b") not in flow.shape.accepts


class TestDuplicates:
    def test_late_and_double_records_change_nothing(self) -> None:
        flow = world(*PAIR).send(ONE).send(ONE)
        asked = list(flow.asked)
        assert len(asked) == 2
        flow.run()
        for record in asked:
            flow.put(NAMES.model_outputs(record.topic.split(".")[3]), record.key, response(ONE), record.headers)
        flow.send(ONE)
        assert flow.answered == [("A", [1]), ("A", [1])]
        flow.check_done()

    def test_a_key_may_be_used_again_for_another_request_when_the_first_is_done(self) -> None:
        flow = world({"a": {}}, {"steps": ["a"]}).send(ONE).run().send({"A": [2]}).run()
        assert flow.inputs_of("a") == [[("A", [1])], [("A", [2])]]
        flow.check_done()

    def test_but_not_before(self) -> None:
        flow = world({"a": {}}, {"steps": ["a"]}).send(ONE).send({"A": [2]}).run()
        assert flow.problems == ["key_in_use"]
        assert flow.inputs_of("a") == [[("A", [1])]]
        flow.check_done()
