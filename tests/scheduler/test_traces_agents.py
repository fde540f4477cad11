"""Histories that a person can read: agents that go, come back or drain, and a scheduler that restarts."""

from tests.scheduler.trace import expect, served


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
