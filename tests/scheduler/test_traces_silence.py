"""Histories that a person can read: agents and Envoys that answer nothing, late, twice, or what nobody asked."""

from itertools import pairwise

import pytest

from services.scheduler.core.models.explain import explain_model
from services.scheduler.core.models.lifecycle import version_status
from services.scheduler.core.models.status import reason_with_retry
from services.scheduler.core.state import ReplicaKey, ReplicaState
from shared import timing
from tests.scheduler.trace import Trace, expect, fresh, served


def told(trace: Trace) -> list[float]:
    """Times at which something is told from now on, until the agent is given up; seconds from now."""
    start, times = trace.now, []
    while (due := trace.control.next_due) is not None and due < start + timing.load_patience():
        trace.wait(due - trace.now)
        if "tell" in trace.text:
            times.append(trace.now - start)
    return times


def test_a_load_without_an_answer_is_repeated_ever_more_slowly() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    assert trace.text
    times = told(trace)
    assert times[:4] == [120, 360, 840, 1440]
    assert {after - before for before, after in pairwise(times[3:])} == {600}


def test_an_agent_that_never_answers_is_left_when_another_has_room() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.agent("other/0")
    told(trace)
    assert trace.text == ""
    trace.wait(timing.load_patience() - trace.now)
    trace.loaded("other/0", "iris_1")
    trace.ack("iris")
    trace.unloaded("ml/0", "iris_1")
    expect(
        trace,
        """
        60 s pass
          tell other/0 to load iris_1
          tell ml/0 to unload iris_1
          iris_1 is ModelProgressing (loading on other replica 0; the last attempt failed: the agent of ml/0 has not answered since 1970-01-01T00:00:00Z)
        other/0 loaded iris_1
          tell Envoy iris -> iris_1 at other/0
          iris_1 is ModelProgressing (loading on other replica 0)
        Envoy takes iris
          iris_1 is ModelAvailable
        ml/0 unloaded iris_1
        """,  # noqa: E501
    )


def test_the_only_agent_is_told_again_for_ever_and_answers_in_the_end() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    for _ in range(14 * 24):
        trace.wait(3600)
    assert "tell ml/0 to load iris_1" in trace.text
    assert trace.control.state.models["iris"].latest.replicas[0].state is ReplicaState.LOADING
    due = trace.control.next_due
    assert due is not None
    assert due <= trace.now + timing.LONGEST_REPEAT
    trace.loaded("ml/0", "iris_1")
    trace.ack("iris")
    assert "iris_1 is ModelAvailable" in trace.text


def test_status_and_explain_say_who_is_waited_for_and_until_when() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.wait(120)
    model = trace.control.state.models["iris"]
    status = version_status(model, model.latest)
    reason = "loading on ml replica 0; told 2 times without an answer, again at 1970-01-01T00:06:00Z"
    assert reason_with_retry(status.reason, model.latest, status.state) == reason
    explained = explain_model(trace.control, "iris")
    assert explained["reason"] == reason
    (copy,) = explained["versions"][0]["replicas"]
    assert copy["waits"] == {
        "owner": "agent of ml/0",
        "reason": "told to load it 2 times without an answer",
        "due": "1970-01-01T00:06:00Z",
    }
    trace.agent_lost("ml/0")
    (copy,) = explain_model(trace.control, "iris")["versions"][0]["replicas"]
    assert copy["waits"]["due"] == "1970-01-01T00:02:30Z"
    trace.agent("ml/0", "iris_1")
    explained = explain_model(trace.control, "iris")
    assert explained["route"]["waits"]["owner"] == explained["versions"][0]["replicas"][0]["waits"]["owner"] == "Envoy"
    trace.ack("iris")
    explained = explain_model(trace.control, "iris")
    assert explained["route"]["waits"] is explained["versions"][0]["replicas"][0]["waits"] is None


def test_loading_it_again_tells_a_silent_agent_at_once() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.load("iris")
    expect(
        trace,
        """
        agent ml/0 holds nothing
        load iris a x1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        load iris a x1
          tell ml/0 to load iris_1
        """,
    )


def test_an_unload_without_an_answer_fails_and_is_tried_for_ever() -> None:
    trace = served()
    trace.unload("iris")
    trace.ack("iris")
    assert "tell ml/0 to unload iris_1" in trace.text
    trace.wait(120)
    expect(trace, "120 s pass\n  tell ml/0 to unload iris_1")
    trace.wait(timing.unload_patience() - 120)
    assert "iris_1 is ModelTerminateFailed (the agent of ml/0 has not answered since" in trace.text
    trace.wait(2)
    assert "tell ml/0 to unload iris_1" in trace.text
    for _ in range(14 * 24):
        trace.wait(3600)
    assert "tell ml/0 to unload iris_1" in trace.text
    trace.unloaded("ml/0", "iris_1")
    assert "iris_1 is ModelTerminated" in trace.text
    trace.ack("iris")
    trace.wait(3600)
    assert "iris" not in trace.control.state.models


def test_routes_that_nobody_takes_or_refuses_are_offered_again() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.loaded("ml/0", "iris_1")
    assert trace.text
    trace.wait(timing.ROUTE_UNANSWERED)
    expect(trace, "120 s pass\n  tell Envoy iris -> iris_1 at ml/0")


def test_answers_given_twice_or_too_late_change_nothing() -> None:
    trace = served()
    trace.loaded("ml/0", "iris_1")
    trace.load("iris", "b")
    assert trace.text
    trace.unloaded("ml/0", "iris_2")
    trace.loaded("ml/0", "iris_2", free=800)
    trace.loaded("ml/0", "iris_2", free=800)
    trace.ack("iris")
    trace.loaded("ml/0", "iris_1", free=800)
    trace.unloaded("ml/0", "iris_1")
    expect(
        trace,
        """
        ml/0 unloaded iris_2
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        ml/0 loaded iris_2
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_2 is ModelAvailable
        ml/0 loaded iris_1
        ml/0 unloaded iris_1
          tell Envoy iris -> iris_2 at ml/0
        """,
    )


def test_what_an_agent_has_unloaded_unasked_is_loaded_again() -> None:
    trace = served()
    trace.unloaded("ml/0", "iris_1")
    expect(
        trace,
        """
        ml/0 unloaded iris_1
          tell ml/0 to load iris_1
          tell Envoy iris -> nothing
          iris_1 is ModelProgressing (loading on ml replica 0)
        """,
    )


@pytest.mark.parametrize("copy", ["wine_1", "iris_7"])
def test_what_an_agent_has_loaded_unasked_is_unloaded(copy: str) -> None:
    trace = served()
    trace.loaded("ml/0", copy, free=800)
    assert f"  tell ml/0 to unload {copy}" in trace.text
    trace.wait(120)
    assert f"  tell ml/0 to unload {copy}" in trace.text
    trace.unloaded("ml/0", copy)
    for _ in range(30):
        trace.wait(3600)
    assert "tell" not in trace.text
    assert list(trace.control.state.models) == ["iris"]


def test_a_model_deleted_while_its_server_was_off_does_not_come_back() -> None:
    trace = served()
    trace.control.state.adopts_until = trace.now + timing.DELETED_KEPT
    trace.agent_lost("ml/0")
    trace.unload("iris")
    trace.wait(30)
    trace.ack("iris")
    trace.wait(timing.DELETED_KEPT)
    assert trace.text
    assert trace.control.state.models == {}
    trace.agent("ml/0", "iris_1")
    trace.unloaded("ml/0", "iris_1")
    expect(
        trace,
        """
        agent ml/0 holds iris_1
          tell ml/0 to unload iris_1
          iris_1 is ModelTerminating (Model deleted)
        ml/0 unloaded iris_1
          iris_1 is ModelTerminated (Model deleted)
        """,
    )


def test_a_scheduler_that_lost_its_database_takes_in_what_agents_hold() -> None:
    trace = served()
    again = trace.restart()
    again.control.state.models.clear()
    again.control.state.adopts_until = again.now + timing.DELETED_KEPT
    again.start()
    again.agent("ml/0", "iris_1")
    again.ack("iris")
    assert "iris_1 is ModelAvailable" in again.text


def test_memory_of_loads_under_way_is_counted_once() -> None:
    """The agent has set memory aside for all that it was told to load, and reports what is left after that."""
    trace = fresh()
    trace.agent("ml/0", memory=10)
    for number in range(8):
        trace.load(f"m{number}", memory=1)
    trace.loaded("ml/0", "m0_1", free=2)
    for number in range(8, 13):
        trace.load(f"m{number}", memory=1)
    placed = [name for name, model in trace.control.state.models.items() if model.latest.replicas]
    assert placed == [f"m{number}" for number in range(10)]
    replica = trace.control.state.replica(ReplicaKey("ml", 0))
    assert replica is not None
    assert replica.free_bytes == 0


def test_a_failure_that_crosses_a_repeated_load_leaves_the_memory_of_the_other_attempt_taken() -> None:
    """The agent had failed when it was told once more: that is another attempt, and its copy may be there yet."""
    trace = fresh()
    trace.agent("ml/0", memory=300)
    trace.load("iris", memory=150)
    trace.load("iris", memory=150)
    trace.failed("ml/0", "iris_1", "bad", free=300)
    replica = trace.control.state.replica(ReplicaKey("ml", 0))
    assert replica is not None
    assert replica.memory.taken == 150
    assert trace.text
    trace.load("iris", "b", memory=200)
    trace.loaded("ml/0", "iris_1", free=150)
    assert "load iris_2" not in trace.text
    trace.unloaded("ml/0", "iris_1", free=300)
    assert "tell ml/0 to load iris_2" in trace.text


def test_as_many_failures_as_instructions_free_the_memory() -> None:
    trace = fresh()
    trace.agent("ml/0", memory=300)
    trace.load("iris", memory=150)
    trace.load("iris", memory=150)
    trace.failed("ml/0", "iris_1", "bad", free=300)
    trace.failed("ml/0", "iris_1", "bad", free=300)
    replica = trace.control.state.replica(ReplicaKey("ml", 0))
    assert replica is not None
    assert replica.memory.taken == 0


def test_a_late_answer_to_a_repeated_unload_is_not_about_the_copy_that_was_loaded_since() -> None:
    trace = fresh()
    trace.agent("ml/0", memory=300)
    trace.load("iris", memory=150)
    trace.unload("iris")
    trace.wait(timing.FIRST_REPEAT)
    assert trace.text.count("tell ml/0 to unload iris_1") == 2
    trace.unloaded("ml/0", "iris_1", free=300)
    trace.load("iris", memory=150)
    trace.load("iris", "b", memory=200)
    assert "tell ml/0 to unload iris_1" in trace.text
    trace.unloaded("ml/0", "iris_1", free=300)
    assert "load iris_2" not in trace.text
    trace.unloaded("ml/0", "iris_1", free=300)
    assert "tell ml/0 to load iris_2" in trace.text
