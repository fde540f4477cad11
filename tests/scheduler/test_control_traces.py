"""Histories that a person can read: what happens, and what the scheduler does about it."""

from textwrap import dedent

from tests.scheduler.trace import Trace


def expect(trace: Trace, text: str) -> None:
    assert trace.text == dedent(text).strip()


def fresh() -> Trace:
    trace = Trace()
    trace.start()
    expect(trace, "start\n  ready")
    return trace


def served() -> Trace:
    """`iris_1` is available on ml/0."""
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.loaded("ml/0", "iris_1")
    trace.ack("iris")
    assert "iris_1 is ModelAvailable" in trace.text
    return trace


def test_first_load() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.loaded("ml/0", "iris_1")
    trace.ack("iris")
    expect(
        trace,
        """
        agent ml/0 holds nothing
        load iris a x1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_1
          tell Envoy iris -> iris_1 at ml/0
        Envoy takes iris
          iris_1 is ModelAvailable
        """,
    )


def test_model_waits_for_a_server() -> None:
    trace = fresh()
    trace.load("iris")
    trace.agent("ml/0")
    trace.loaded("ml/0", "iris_1")
    trace.ack("iris")
    expect(
        trace,
        """
        load iris a x1
          iris_1 is ScheduleFailed (no server: no server has registered)
        agent ml/0 holds nothing
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_1
          tell Envoy iris -> iris_1 at ml/0
        Envoy takes iris
          iris_1 is ModelAvailable
        """,
    )


def test_update_makes_before_it_breaks() -> None:
    trace = served()
    trace.load("iris", "b")
    trace.loaded("ml/0", "iris_2", free=800)
    trace.ack("iris")
    trace.unloaded("ml/0", "iris_1", free=900)
    trace.ack("iris")
    expect(
        trace,
        """
        load iris b x1
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_2 is ModelAvailable
        ml/0 unloaded iris_1
          tell Envoy iris -> iris_2 at ml/0
        Envoy takes iris
        """,
    )


def test_version_that_does_not_load_leaves_the_old_one_serving_and_is_tried_again() -> None:
    trace = served()
    trace.load("iris", "b")
    trace.failed("ml/0", "iris_2", "no such file")
    trace.wait(1.9)
    trace.wait(0.1)
    trace.failed("ml/0", "iris_2", "no such file")
    trace.wait(3.9)
    trace.wait(0.1)
    trace.loaded("ml/0", "iris_2", free=800)
    trace.ack("iris")
    expect(
        trace,
        """
        load iris b x1
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        ml/0 failed to load iris_2
          iris_2 is ModelFailed (no such file)
        1.9 s pass
        0.1 s pass
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        ml/0 failed to load iris_2
          iris_2 is ModelFailed (no such file)
        3.9 s pass
        0.1 s pass
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_2 is ModelAvailable
        """,
    )


def test_version_without_a_place_leaves_the_old_one_serving() -> None:
    trace = served()
    trace.load("iris", "b", memory=5000)
    trace.wait(1000)
    expect(
        trace,
        """
        load iris b x1
          iris_2 is ScheduleFailed (no replicas: ml 0 of 1 suit (replica 0 needs 5000 bytes, has 900 free))
        1000 s pass
        """,
    )


def test_freed_memory_goes_to_a_model_that_waits() -> None:
    trace = fresh()
    trace.agent("ml/0", memory=150)
    trace.load("iris")
    trace.loaded("ml/0", "iris_1", free=50)
    trace.ack("iris")
    trace.load("wine")
    trace.unload("iris")
    trace.ack("iris")
    trace.unloaded("ml/0", "iris_1", free=150)
    trace.loaded("ml/0", "wine_1", free=50)
    trace.ack("wine")
    expect(
        trace,
        """
        agent ml/0 holds nothing
        load iris a x1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_1
          tell Envoy iris -> iris_1 at ml/0
        Envoy takes iris
          iris_1 is ModelAvailable
        load wine a x1
          wine_1 is ScheduleFailed (no replicas: ml 0 of 1 suit (replica 0 needs 100 bytes, has 50 free))
        unload iris
          tell Envoy iris -> kept: iris_1 at ml/0
          iris_1 is ModelTerminating (Model deleted)
        Envoy takes iris
          tell ml/0 to unload iris_1
        ml/0 unloaded iris_1
          tell Envoy iris -> nothing
          tell ml/0 to load wine_1
          iris_1 is ModelTerminated (Model deleted)
          wine_1 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded wine_1
          tell Envoy wine -> wine_1 at ml/0
        Envoy takes wine
          wine_1 is ModelAvailable
        """,
    )


def test_delete() -> None:
    trace = served()
    trace.unload("iris")
    trace.ack("iris")
    trace.unloaded("ml/0", "iris_1")
    trace.ack("iris")
    expect(
        trace,
        """
        unload iris
          tell Envoy iris -> kept: iris_1 at ml/0
          iris_1 is ModelTerminating (Model deleted)
        Envoy takes iris
          tell ml/0 to unload iris_1
        ml/0 unloaded iris_1
          tell Envoy iris -> nothing
          iris_1 is ModelTerminated (Model deleted)
        Envoy takes iris
        """,
    )


def test_delete_while_loading() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.unload("iris")
    trace.loaded("ml/0", "iris_1")
    trace.unloaded("ml/0", "iris_1")
    expect(
        trace,
        """
        agent ml/0 holds nothing
        load iris a x1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        unload iris
          tell ml/0 to unload iris_1
          iris_1 is ModelTerminating (Model deleted)
        ml/0 loaded iris_1
        ml/0 unloaded iris_1
          iris_1 is ModelTerminated (Model deleted)
        """,
    )


def test_agent_lost_and_back_changes_nothing() -> None:
    trace = served()
    trace.agent_lost("ml/0")
    trace.wait(29)
    trace.agent("ml/0", "iris_1")
    trace.wait(29)
    expect(
        trace,
        """
        agent ml/0 lost
        29 s pass
        agent ml/0 holds iris_1
        29 s pass
        """,
    )


def test_agent_lost_for_good_and_back_after_all() -> None:
    trace = served()
    trace.agent("other/0")
    trace.agent_lost("ml/0")
    trace.wait(30)
    trace.loaded("other/0", "iris_1")
    trace.ack("iris")
    trace.agent("ml/0", "iris_1")
    trace.unloaded("ml/0", "iris_1")
    expect(
        trace,
        """
        agent other/0 holds nothing
        agent ml/0 lost
        30 s pass
          tell other/0 to load iris_1
          tell Envoy iris -> nothing
          iris_1 is ModelProgressing (loading on other replica 0)
        other/0 loaded iris_1
          tell Envoy iris -> iris_1 at other/0
        Envoy takes iris
          iris_1 is ModelAvailable
        agent ml/0 holds iris_1
          tell ml/0 to unload iris_1
        ml/0 unloaded iris_1
        """,
    )


def test_agent_back_without_its_models() -> None:
    trace = served()
    trace.agent_lost("ml/0")
    trace.agent("ml/0")
    trace.ack("iris")
    trace.loaded("ml/0", "iris_1")
    trace.ack("iris")
    expect(
        trace,
        """
        agent ml/0 lost
        agent ml/0 holds nothing
          tell ml/0 to load iris_1
          tell Envoy iris -> nothing
          iris_1 is ModelProgressing (loading on ml replica 0)
        Envoy takes iris
        ml/0 loaded iris_1
          tell Envoy iris -> iris_1 at ml/0
        Envoy takes iris
          iris_1 is ModelAvailable
        """,
    )


def test_restart_in_the_middle_of_an_update() -> None:
    trace = served()
    trace.load("iris", "b")
    expect(
        trace,
        """
        load iris b x1
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        """,
    )
    trace = trace.restart()
    trace.start()
    trace.agent("ml/0", "iris_1")
    trace.ack("iris")
    trace.loaded("ml/0", "iris_2", free=800)
    trace.ack("iris")
    expect(
        trace,
        """
        start
          iris_2 is ModelProgressing (waiting to be placed)
        agent ml/0 holds iris_1
          tell ml/0 to load iris_2
          tell Envoy iris -> iris_1 at ml/0
          ready
          iris_2 is ModelProgressing (loading on ml replica 0)
        Envoy takes iris
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_2 is ModelAvailable
        """,
    )


def test_restart_without_the_agent_settles() -> None:
    trace = served()
    trace = trace.restart()
    trace.start(settle=10)
    trace.wait(10)
    trace.ack("iris")
    trace.agent("ml/0", "iris_1")
    trace.ack("iris")
    expect(
        trace,
        """
        start
          iris_1 is ModelProgressing (waiting to be placed)
        10 s pass
          tell Envoy iris -> nothing
          ready
          iris_1 is ScheduleFailed (no server: ml no replica of it is connected)
        Envoy takes iris
        agent ml/0 holds iris_1
          tell Envoy iris -> iris_1 at ml/0
          iris_1 is ModelProgressing (loading on ml replica 0)
        Envoy takes iris
          iris_1 is ModelAvailable
        """,
    )


def test_refused_routes_keep_the_old_version() -> None:
    trace = served()
    trace.load("iris", "b")
    trace.loaded("ml/0", "iris_2", free=800)
    trace.nack("iris", "bad cluster")
    trace.wait(30)
    trace.nack("iris", "still bad")
    trace.load("iris", "b")
    trace.ack("iris")
    expect(
        trace,
        """
        load iris b x1
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy refuses iris
          iris_2 is ModelFailed (bad cluster)
        30 s pass
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy refuses iris
          iris_2 is ModelFailed (still bad)
        load iris b x1
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_2 is ModelAvailable
        """,
    )


def test_refused_routes_do_not_stop_a_delete() -> None:
    trace = served()
    trace.load("iris", "b")
    trace.loaded("ml/0", "iris_2", free=800)
    trace.nack("iris", "bad cluster")
    trace.unload("iris")
    trace.nack("iris", "bad cluster")
    trace.ack("iris")
    expect(
        trace,
        """
        load iris b x1
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
        Envoy refuses iris
          iris_2 is ModelFailed (bad cluster)
        unload iris
          tell Envoy iris -> kept: iris_1 at ml/0, kept: iris_2 at ml/0
          iris_2 is ModelTerminating (Model deleted)
        Envoy refuses iris
          tell Envoy iris -> nothing
        Envoy takes iris
          tell ml/0 to unload iris_1
          tell ml/0 to unload iris_2
        """,
    )


def test_drain_to_another_server() -> None:
    trace = served()
    trace.agent("other/0")
    trace.drain("ml/0")
    trace.loaded("other/0", "iris_2")
    trace.ack("iris")
    expect(
        trace,
        """
        agent other/0 holds nothing
        drain ml/0
          tell other/0 to load iris_2
          iris_2 is ModelProgressing (loading on other replica 0)
        other/0 loaded iris_2
          tell Envoy iris -> iris_2 at other/0, kept: iris_1 at ml/0
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_2 is ModelAvailable
        """,
    )


def test_drain_to_another_replica_of_the_server() -> None:
    trace = served()
    trace.agent("ml/1", memory=900)
    trace.drain("ml/0")
    trace.loaded("ml/1", "iris_1", free=800)
    trace.ack("iris")
    expect(
        trace,
        """
        agent ml/1 holds nothing
        drain ml/0
          tell ml/1 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 1)
        ml/1 loaded iris_1
          tell Envoy iris -> iris_1 at ml/1
        Envoy takes iris
          tell ml/0 to unload iris_1
          iris_1 is ModelAvailable
        """,
    )


def test_drain_without_another_place() -> None:
    trace = served()
    trace.drain("ml/0")
    trace.agent_lost("ml/0")
    trace.agent("ml/0")
    expect(
        trace,
        """
        drain ml/0
          iris_1 is ScheduleFailed (no replicas: ml 0 of 1 suit (replica 0 is draining))
        agent ml/0 lost
        agent ml/0 holds nothing
          tell ml/0 to load iris_1
          tell Envoy iris -> nothing
          iris_1 is ModelProgressing (loading on ml replica 0)
        """,
    )


def test_two_replicas_to_one() -> None:
    trace = served()
    trace.agent("ml/1")
    trace.load("iris", replicas=2)
    trace.loaded("ml/1", "iris_1")
    trace.ack("iris")
    trace.load("iris", replicas=1)
    trace.ack("iris")
    trace.unloaded("ml/1", "iris_1")
    expect(
        trace,
        """
        agent ml/1 holds nothing
        load iris a x2
          tell ml/1 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 1)
        ml/1 loaded iris_1
          tell Envoy iris -> iris_1 at ml/0+ml/1
        Envoy takes iris
          iris_1 is ModelAvailable
        load iris a x1
          tell Envoy iris -> iris_1 at ml/0
        Envoy takes iris
          tell ml/1 to unload iris_1
        ml/1 unloaded iris_1
        """,
    )


def test_scale_to_zero_and_back() -> None:
    trace = served()
    trace.load("iris", replicas=0)
    trace.ack("iris")
    trace.unloaded("ml/0", "iris_1")
    trace.ack("iris")
    trace.load("iris")
    expect(
        trace,
        """
        load iris a x0
          tell Envoy iris -> kept: iris_1 at ml/0
          iris_1 is ModelScaledDown
        Envoy takes iris
          tell ml/0 to unload iris_1
        ml/0 unloaded iris_1
          tell Envoy iris -> nothing
        Envoy takes iris
        load iris a x1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        """,
    )


def test_create_again_after_delete_starts_at_version_one() -> None:
    trace = served()
    trace.unload("iris")
    trace.ack("iris")
    trace.unloaded("ml/0", "iris_1")
    trace.ack("iris")
    trace.load("iris", "b")
    expect(
        trace,
        """
        unload iris
          tell Envoy iris -> kept: iris_1 at ml/0
          iris_1 is ModelTerminating (Model deleted)
        Envoy takes iris
          tell ml/0 to unload iris_1
        ml/0 unloaded iris_1
          tell Envoy iris -> nothing
          iris_1 is ModelTerminated (Model deleted)
        Envoy takes iris
        load iris b x1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        """,
    )


def test_same_definition_twice_does_nothing() -> None:
    trace = served()
    trace.load("iris")
    expect(
        trace,
        """
        load iris a x1
        """,
    )


def test_server_with_zero_expected_replicas_takes_nothing() -> None:
    trace = fresh()
    trace.agent("ml/0")
    trace.server("ml", expected=0)
    trace.load("iris")
    trace.server("ml", expected=1)
    expect(
        trace,
        """
        agent ml/0 holds nothing
        server ml expects 0
        load iris a x1
          iris_1 is ScheduleFailed (no server: ml is being removed (0 replicas expected))
        server ml expects 1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        """,
    )


def test_old_definition_under_a_new_models_name_is_unloaded_first() -> None:
    trace = served()
    trace.agent_lost("ml/0")
    trace.unload("iris")
    trace.wait(30)
    trace.ack("iris")
    trace.load("iris", "b")
    trace.agent("ml/0", "iris_1")
    trace.unloaded("ml/0", "iris_1")
    trace.loaded("ml/0", "iris_1")
    expect(
        trace,
        """
        agent ml/0 lost
        unload iris
          tell Envoy iris -> kept: iris_1 at ml/0
          iris_1 is ModelTerminating (Model deleted)
        30 s pass
          tell Envoy iris -> nothing
          iris_1 is ModelTerminated (Model deleted)
        Envoy takes iris
        load iris b x1
          iris_1 is ScheduleFailed (no server: no server has registered)
        agent ml/0 holds iris_1
          tell ml/0 to unload iris_1
          iris_1 is ScheduleFailed (no replicas: ml 0 of 1 suit (replica 0 is still unloading it))
        ml/0 unloaded iris_1
          tell ml/0 to load iris_1
          iris_1 is ModelProgressing (loading on ml replica 0)
        ml/0 loaded iris_1
          tell Envoy iris -> iris_1 at ml/0
        """,
    )
