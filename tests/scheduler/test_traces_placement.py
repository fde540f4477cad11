"""Histories that a person can read: how models find a place and give it up."""

from tests.scheduler.trace import expect, fresh, served


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
