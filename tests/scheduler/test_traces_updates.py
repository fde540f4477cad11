"""Histories that a person can read: versions, deletes, and what Envoy makes of them."""

from tests.scheduler.trace import expect, fresh, served


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
          iris_2 is ModelProgressing (loading on ml replica 0; the last attempt failed: no such file)
        ml/0 failed to load iris_2
          iris_2 is ModelFailed (no such file)
        3.9 s pass
        0.1 s pass
          tell ml/0 to load iris_2
          iris_2 is ModelProgressing (loading on ml replica 0; the last attempt failed: no such file)
        ml/0 loaded iris_2
          tell Envoy iris -> iris_2 at ml/0, kept: iris_1 at ml/0
          iris_2 is ModelProgressing (loading on ml replica 0)
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
