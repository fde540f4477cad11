"""Histories that a person can read: pipelines on their way to engines, gateways and Envoy, and back."""

import pytest

from shared.errors import RejectedRequest
from tests.scheduler.pipeline_trace import PipelineTrace, expect, served


def test_a_pipeline_waits_for_members_then_for_envoy() -> None:
    trace = PipelineTrace()
    trace.load("alpha")
    trace.join("flow-0", "pgw-0")
    trace.answer("pgw-0", "alpha")
    trace.answer("flow-0", "alpha_1")
    trace.ack("alpha")
    expect(
        trace,
        """
        start
        load alpha
          alpha_1: Create (no dataflow engines available to handle pipeline) / Create (no pipeline gateways available to handle pipeline)
        flow-0 joins
          tell flow-0 to start alpha_1
          alpha_1: Creating (waiting for flow-0 to start it) / Create (no pipeline gateways available to handle pipeline)
        pgw-0 joins
          tell pgw-0 to start alpha_1
          alpha_1: Creating (waiting for flow-0 to start it) / Creating (waiting for pgw-0 to start it)
        pgw-0 alpha: did it
          alpha_1: Creating (waiting for flow-0 to start it) / Ready (1/1 ready)
        flow-0 alpha_1: did it
          tell Envoy alpha.pipeline -> pgw-0
          alpha_1: Ready (1/1 ready) / Creating (waiting for Envoy to take its route)
        Envoy takes alpha
          alpha_1: Ready (1/1 ready) / Ready (1/1 ready)
        """,  # noqa: E501
    )


def test_an_update_ends_the_old_version_when_the_new_one_is_ready_and_not_before() -> None:
    trace = served()
    trace.load("alpha")
    trace.answer("flow-0", "alpha_2", "no such topic")
    trace.answer("pgw-0", "alpha")
    trace.wait(1.9)
    trace.wait(0.1)
    trace.answer("flow-0", "alpha_2")
    trace.answer("flow-0", "alpha_1")
    expect(
        trace,
        """
        load alpha
          tell pgw-0 to start alpha_2
          tell flow-0 to start alpha_2
          alpha_2: Creating (waiting for flow-0 to start it) / Creating (waiting for pgw-0 to start it)
        flow-0 alpha_2: failed: no such topic
          alpha_2: Failed (1/1 failed; flow-0 failed: no such topic; tried again at 1970-01-12T13:46:42Z) / Creating (waiting for pgw-0 to start it)
        pgw-0 alpha: did it
          alpha_2: Failed (1/1 failed; flow-0 failed: no such topic; tried again at 1970-01-12T13:46:42Z) / Ready (1/1 ready)
        1.9 s pass
        0.1 s pass
          tell flow-0 to start alpha_2
          alpha_2: Creating (waiting for flow-0 (attempt 2; before: no such topic) to start it) / Ready (1/1 ready)
        flow-0 alpha_2: did it
          tell flow-0 to stop alpha_1
          alpha_2: Ready (1/1 ready) / Ready (1/1 ready)
        flow-0 alpha_1: did it
        """,  # noqa: E501
    )


def test_a_new_engine_starts_when_the_old_one_has_let_go() -> None:
    trace = served()
    trace.join("flow-1")
    trace.answer("flow-0", "alpha_1")
    trace.answer("flow-1", "alpha_1")
    expect(
        trace,
        """
        flow-1 joins
          tell flow-0 to stop alpha_1
          alpha_1: Creating (Rebalance: waiting for flow-0 to let go) / Ready (1/1 ready)
        flow-0 alpha_1: did it
          tell flow-1 to start alpha_1
          alpha_1: Creating (waiting for flow-1 to start it) / Ready (1/1 ready)
        flow-1 alpha_1: did it
          alpha_1: Ready (1/1 ready) / Ready (1/1 ready)
        """,
    )


@pytest.mark.parametrize("gone", [False, True])
def test_an_engine_that_is_silent_or_gone_is_not_waited_for(gone: bool) -> None:
    trace = served()
    trace.join("flow-1")
    assert "tell flow-0 to stop alpha_1" in trace.text
    if gone:
        trace.leave("flow-0")
    else:
        trace.wait(14.9)
        assert trace.text == "14.9 s pass"
        trace.wait(0.1)
    assert "tell flow-1 to start alpha_1" in trace.text


def test_engines_that_share_a_pipeline_let_go_of_what_another_takes_over() -> None:
    trace = served(owners_per_key=2)
    trace.join("flow-1")
    trace.answer("flow-0", "alpha_1")
    trace.answer("flow-1", "alpha_1")
    trace.leave("flow-1")
    expect(
        trace,
        """
        flow-1 joins
          tell flow-0 to stop alpha_1
          tell flow-1 to stop alpha_1
          alpha_1: Creating (Rebalance: waiting for flow-0, flow-1 to let go) / Ready (1/1 ready)
        flow-0 alpha_1: did it
          alpha_1: Creating (Rebalance: waiting for flow-1 to let go) / Ready (1/1 ready)
        flow-1 alpha_1: did it
          tell flow-1 to start alpha_1 with flow-1+flow-0
          tell flow-0 to start alpha_1 with flow-1+flow-0
          alpha_1: Creating (waiting for flow-1, flow-0 to start it) / Ready (1/1 ready)
        flow-1 leaves
          tell flow-0 to start alpha_1
          alpha_1: Creating (waiting for flow-0 to start it) / Ready (1/1 ready)
        """,
    )


def test_a_gateway_takes_over_before_the_other_one_stops() -> None:
    trace = served()
    trace.join("pgw-2")
    trace.answer("pgw-2", "alpha")
    trace.ack("alpha")
    trace.answer("pgw-0", "alpha")
    expect(
        trace,
        """
        pgw-2 joins
          tell pgw-2 to start alpha_1
          alpha_1: Ready (1/1 ready) / Creating (waiting for pgw-2 to start it)
        pgw-2 alpha: did it
          tell Envoy alpha.pipeline -> pgw-2
          alpha_1: Ready (1/1 ready) / Ready (1/1 ready)
        Envoy takes alpha
          tell pgw-0 to stop alpha_1
        pgw-0 alpha: did it
        """,
    )


def test_the_route_stays_while_members_come_and_go() -> None:
    trace = served()
    for name in ("flow-0", "pgw-0"):
        trace.leave(name)
    trace.join("flow-5", "pgw-5")
    trace.answer("flow-5", "alpha_1")
    assert "Envoy" not in trace.text
    trace.answer("pgw-5", "alpha")
    assert "tell Envoy alpha.pipeline -> pgw-5" in trace.text


def test_a_route_that_envoy_refuses_is_offered_again_and_the_gateway_before_goes_on() -> None:
    trace = served()
    trace.join("pgw-2")
    trace.answer("pgw-2", "alpha")
    assert trace.text
    trace.nack("alpha", "bad cluster")
    trace.wait(30)
    trace.ack("alpha")
    expect(
        trace,
        """
        Envoy refuses alpha
          alpha_1: Ready (1/1 ready) / Ready (Envoy refuses its route: bad cluster)
        30 s pass
          tell Envoy alpha.pipeline -> pgw-2
          alpha_1: Ready (1/1 ready) / Ready (1/1 ready)
        Envoy takes alpha
          tell pgw-0 to stop alpha_1
        """,
    )


def test_unload_goes_from_envoy_over_the_gateways_to_the_engines_and_their_topics() -> None:
    trace = served()
    trace.load("alpha", clean=True)
    assert trace.text
    trace.unload("alpha")
    with pytest.raises(RejectedRequest, match="pipeline alpha is still terminating"):
        trace.unload("alpha")
    trace.ack("alpha")
    trace.answer("pgw-0", "alpha")
    trace.answer("flow-0", "alpha_1")
    trace.answer("flow-0", "alpha_2")
    with pytest.raises(RejectedRequest, match="pipeline alpha not found"):
        trace.unload("alpha")
    expect(
        trace,
        """
        unload alpha
          tell Envoy alpha.pipeline -> nobody
          alpha_2: Terminate (pipeline removed: waiting for Envoy to drop its route) / Terminate (pipeline removed)
        Envoy takes alpha
          tell pgw-0 to stop alpha_2
          alpha_2: Terminate (pipeline removed: waiting for its gateways to answer what they have taken) / Terminating (waiting for pgw-0 to stop)
        pgw-0 alpha: did it
          tell flow-0 to stop alpha_1
          alpha_2: Terminate (pipeline removed: waiting for its gateways to answer what they have taken) / Terminated (pipeline removed)
        flow-0 alpha_1: did it
          tell flow-0 to stop alpha_2 and remove its topics
          alpha_2: Terminating (waiting for flow-0 to stop) / Terminated (pipeline removed)
        flow-0 alpha_2: did it
          alpha_2: Terminated (pipeline removed) / Terminated (pipeline removed)
        """,  # noqa: E501
    )


def test_a_pipeline_loaded_again_starts_over_when_the_one_before_has_ended() -> None:
    trace = served()
    trace.unload("alpha")
    trace.ack("alpha")
    assert trace.text
    trace.load("alpha")
    trace.answer("pgw-0", "alpha")
    trace.answer("flow-0", "alpha_1")
    waits = "waiting until the pipeline alpha that was unloaded has ended"
    expect(
        trace,
        f"""
        load alpha
          alpha_1: Create ({waits}) / Create ({waits})
        pgw-0 alpha: did it
          tell flow-0 to stop alpha_1
        flow-0 alpha_1: did it
          tell pgw-0 to start alpha_1
          tell flow-0 to start alpha_1
          alpha_1: Creating (waiting for flow-0 to start it) / Creating (waiting for pgw-0 to start it)
        """,
    )
    assert [tell.pipeline.uid for tell in trace.told[-2:] if tell.pipeline] == ["uid2", "uid2"]


def test_the_last_owner_to_let_go_removes_the_topics() -> None:
    trace = PipelineTrace(owners_per_key=2)
    trace.join("flow-0", "flow-1")
    trace.load("alpha", clean=True)
    assert trace.text
    trace.unload("alpha")
    trace.answer("flow-0", "alpha")
    assert "tell flow-0 to stop alpha_1\n" in trace.text
    assert "remove" not in str(trace.told[-2])
    assert trace.told[-1].instruction.with_topics
    trace.answer("flow-1", "alpha")
    assert "alpha_1: Terminated" in trace.text


def until_told(trace: PipelineTrace) -> float:
    """Let time pass until somebody is told something; how long that took."""
    before, told = trace.now, len(trace.told)
    while len(trace.told) == told:
        due = trace.core.next_due
        assert due is not None
        trace.wait(due - trace.now)
    return trace.now - before


def test_attempts_slow_down_and_never_end_and_the_status_says_when_the_next_one_is() -> None:
    trace = PipelineTrace()
    trace.join("flow-0")
    trace.load("alpha")
    gaps = []
    for _ in range(40):  # far longer than brokers may be away
        trace.answer("flow-0", "alpha", "no kafka")
        assert "flow-0 failed: no kafka; tried again at 1970-01-1" in trace.text
        gaps.append(until_told(trace))
    assert gaps == [2, 4, 8, 16, 32, *[60] * 35]
    trace.answer("flow-0", "alpha")
    assert "alpha_1: Ready" in trace.text


def test_a_model_loaded_again_has_its_gateway_told_at_once() -> None:
    trace = PipelineTrace()
    trace.load_model("iris")
    trace.join("mgw-0")
    for _ in range(9):
        trace.answer("mgw-0", "iris", "no kafka")
        trace.wait(60)
    trace.answer("mgw-0", "iris", "no kafka")
    assert trace.text
    trace.load_model("iris")
    assert trace.text == "load model iris a\n  tell mgw-0 to start iris_1"


def test_instructions_without_an_answer_are_repeated_ever_more_slowly_and_the_status_says_so() -> None:
    trace = PipelineTrace()
    trace.join("flow-0")
    trace.load("alpha")
    gaps = []
    for _ in range(30):
        gaps.append(until_told(trace))
    assert gaps == [120, 240, 480, *[600] * 27]
    assert "waiting for flow-0 (told 31 times without an answer, again at 1970-01-12T" in trace.text


def test_an_engine_that_answers_nothing_for_long_is_passed_over() -> None:
    trace = PipelineTrace()
    trace.join("flow-0", "flow-1")
    trace.load("alpha")
    silent = trace.told[-1].instruction.member
    other = {"flow-0": "flow-1", "flow-1": "flow-0"}[silent]
    for _ in range(20):
        trace.wait(30)
    assert trace.told[-1].instruction.member == silent
    assert f"tell {silent} to stop alpha_1" in trace.text
    trace.wait(15)
    assert f"tell {other} to start alpha_1" in trace.text
    trace.answer(other, "alpha_1")
    assert "alpha_1: Ready (1/1 ready)" in trace.text
    trace.join(silent)  # a new process, or one that has found back: it is counted on again
    assert f"tell {other} to stop alpha_1" in trace.text


def test_a_gateway_that_never_lets_go_keeps_nobody_from_the_name() -> None:
    trace = served()
    trace.unload("alpha")
    trace.ack("alpha")
    trace.load("alpha")
    assert "waiting until the pipeline alpha that was unloaded has ended" in trace.text
    trace.wait(599)
    assert "tell flow-0" not in trace.text
    trace.wait(1)
    assert "tell flow-0 to stop alpha_1" in trace.text
    trace.answer("flow-0", "alpha_1")
    assert "tell pgw-0 to start alpha_1" in trace.text


def test_an_instruction_without_an_answer_is_repeated() -> None:
    trace = PipelineTrace()
    trace.join("flow-0")
    trace.load("alpha")
    trace.wait(120)
    first, second = trace.told
    assert second.instruction.again
    assert first.instruction.timestamp == second.instruction.timestamp
    trace.answer("flow-0", "alpha")
    assert "alpha_1: Ready" in trace.text


def test_a_deleted_pipeline_can_be_asked_about_for_a_day() -> None:
    trace = served()
    trace.unload("alpha")
    trace.ack("alpha")
    trace.answer("pgw-0", "alpha")
    trace.answer("flow-0", "alpha_1")
    pipelines = trace.core.pipelines.pipelines.by_name
    trace.wait(86_399)
    assert "alpha" in pipelines
    trace.wait(1)
    assert "alpha" not in pipelines


def test_models_are_given_to_their_gateways_and_taken_back() -> None:
    trace = PipelineTrace()
    trace.load_model("iris")
    trace.join("mgw-0")
    trace.answer("mgw-0", "iris")
    trace.load_model("iris", "b")
    trace.unload_model("iris")
    trace.answer("mgw-0", "iris")
    trace.load_model("iris", "c")
    expect(
        trace,
        """
        start
        load model iris a
        mgw-0 joins
          tell mgw-0 to start iris_1
        mgw-0 iris: did it
        load model iris b
          tell mgw-0 to start iris_2
        unload model iris
          tell mgw-0 to stop iris_2
        mgw-0 iris: did it
        load model iris c
          tell mgw-0 to start iris_1
        """,
    )


def test_restart_keeps_routes_and_waits_for_those_it_knew() -> None:
    trace = served().restart()
    trace.join("pgw-0")
    trace.answer("pgw-0", "alpha")
    trace.join("flow-1")
    trace.wait(10)
    expect(
        trace,
        """
        start
          tell Envoy alpha.pipeline -> pgw-0
          alpha_1: Create (waiting for flow-0 to come back) / Create (waiting for pgw-0 to come back)
        pgw-0 joins
          tell pgw-0 to start alpha_1
          alpha_1: Create (waiting for flow-0 to come back) / Creating (waiting for pgw-0 to start it)
        pgw-0 alpha: did it
          alpha_1: Create (waiting for flow-0 to come back) / Ready (1/1 ready)
        flow-1 joins
        10 s pass
          tell flow-1 to start alpha_1
          alpha_1: Creating (waiting for flow-1 to start it) / Ready (1/1 ready)
        """,
    )


def test_a_gateway_of_a_plan_on_its_way_to_envoy_is_not_told_to_stop() -> None:
    """Envoy may have it by now: that it took it is heard only of the newest plan."""
    trace = PipelineTrace()
    trace.join("flow-0", "pgw-0")
    trace.load("alpha")
    trace.answer("flow-0", "alpha_1")
    trace.answer("pgw-0", "alpha")
    assert "tell Envoy alpha.pipeline -> pgw-0" in trace.text
    trace.unload("alpha")
    assert "pgw-0 to stop" not in trace.text
    trace.ack("alpha")
    assert "tell pgw-0 to stop alpha_1" in trace.text


def test_after_a_restart_no_gateway_is_told_to_stop_before_envoy_has_taken_a_plan() -> None:
    """What was published last need not have come to Envoy, which then has a plan that nobody remembers."""
    before = PipelineTrace(owners_per_key=2)
    before.join("flow-0", "pgw-0", "pgw-1")
    before.load("alpha")
    for member, about in (("flow-0", "alpha_1"), ("pgw-0", "alpha"), ("pgw-1", "alpha")):
        before.answer(member, about)
    before.ack("alpha")
    before.leave("pgw-0")
    assert "tell Envoy alpha.pipeline -> pgw-1" in before.text
    trace = before.restart()
    trace.join("flow-0", "pgw-1")
    trace.unload("alpha")
    trace.join("pgw-0")
    assert "to stop" not in trace.text
    trace.ack("alpha")
    text = trace.text
    assert "tell pgw-0 to stop alpha_1" in text
    assert "tell pgw-1 to stop alpha_1" in text


def test_an_engine_that_was_away_during_many_updates_is_told_to_stop_what_it_had() -> None:
    trace = PipelineTrace(owners_per_key=2)
    trace.join("flow-0", "flow-1", "pgw-0")
    trace.load("alpha")
    for member, about in (("flow-0", "alpha_1"), ("flow-1", "alpha_1"), ("pgw-0", "alpha")):
        trace.answer(member, about)
    trace.leave("flow-1")
    trace.answer("flow-0", "alpha_1")
    updates = 10
    for number in range(2, 2 + updates):
        trace.load("alpha")
        trace.answer("flow-0", f"alpha_{number}")
        trace.answer("flow-0", f"alpha_{number - 1}")
    assert f"alpha_{1 + updates}: Ready" in trace.text
    trace.join("flow-1")
    assert "tell flow-1 to stop alpha_1\n" in trace.text


def test_an_engine_away_during_a_restart_and_many_loads_is_told_to_stop_what_it_had() -> None:
    """Versions that no engine was ever told of count as well: there is room for them."""
    before = PipelineTrace(owners_per_key=2)
    before.join("flow-0", "flow-1", "pgw-0")
    before.load("alpha")
    for member, about in (("flow-0", "alpha_1"), ("flow-1", "alpha_1"), ("pgw-0", "alpha")):
        before.answer(member, about)
    before.ack("alpha")
    trace = before.restart()
    for _ in range(5):
        trace.load("alpha")
    trace.unload("alpha")
    trace.wait(10)
    trace.ack("alpha")
    trace.load("alpha")
    assert trace.text
    trace.join("flow-1")
    assert trace.text.count("tell flow-1 to stop") == 6
