"""Which calls start when, against a simple model of keys and limits."""

from hypothesis import given
from hypothesis import strategies as st

from services.modelgateway.core.lane import Lane

Job = tuple[bytes | None, int]


def started(lane: Lane[Job]) -> list[Job]:
    return list(lane.startable())


def test_one_key_is_called_in_order_and_others_at_the_same_time() -> None:
    lane: Lane[Job] = Lane(10)
    for job in ((b"a", 1), (b"a", 2), (b"b", 3), (None, 4), (None, 5)):
        lane.put(job, job[0], 0)
    assert started(lane) == [(b"a", 1), (b"b", 3), (None, 4), (None, 5)]
    lane.called()
    assert started(lane) == []
    lane.finished(b"a")
    assert started(lane) == [(b"a", 2)]


def test_only_so_many_calls_are_in_flight() -> None:
    lane: Lane[Job] = Lane(2)
    for number in range(5):
        lane.put((None, number), None, 0)
    assert (lane.full, started(lane)) == (True, [(None, 0), (None, 1)])
    assert (lane.full, lane.drained) == (True, False)
    lane.called()
    assert started(lane) == [(None, 2)]
    lane.called()
    assert started(lane) == [(None, 3)]
    assert (lane.queued, lane.full, lane.drained) == (1, False, True)


def test_calls_wait_while_kafka_acknowledges_nothing() -> None:
    lane: Lane[Job] = Lane(1)
    for number in range(9):
        lane.put((None, number), None, 0)
    for number in range(4):
        assert started(lane) == [(None, number)]
        lane.called()
    assert started(lane) == []
    lane.finished(None)
    assert started(lane) == [(None, 4)]


def test_large_jobs_stop_reading_before_many_are_queued() -> None:
    lane: Lane[Job] = Lane(10)
    lane.put((None, 0), None, 1_000_000_000)
    assert (lane.full, lane.drained) == (True, False)
    assert started(lane) == [(None, 0)]
    assert (lane.full, lane.drained) == (False, True)


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["put", "called", "finished", "drop"]), st.integers(0, 3)), max_size=60),
)
def test_no_job_is_lost_doubled_or_out_of_order(limit: int, steps: list[tuple[str, int]]) -> None:
    lane: Lane[Job] = Lane(limit)
    number = 0
    waiting: list[Job] = []
    calling: list[Job] = []
    sent: list[Job] = []
    ended: list[Job] = []

    def start() -> None:
        for job in lane.startable():
            waiting.remove(job)
            calling.append(job)
        assert len(calling) <= limit
        assert len(sent) <= 4 * limit
        busy = [key for key, _ in calling + sent if key is not None]
        assert len(busy) == len(set(busy)), "one at a time for each key"
        free = [job for job in waiting if job[0] is None or job[0] not in busy]
        if len(calling) < limit and len(sent) < 4 * limit:
            assert not free, "whatever may start has started"
        assert (lane.queued, lane.calling, lane.unacknowledged) == (len(waiting), len(calling), len(sent))

    def act(what: str, choice: int) -> None:
        nonlocal number
        if what == "put":
            key = None if choice == 0 else bytes([choice])
            number += 1
            waiting.append((key, number))
            lane.put((key, number), key, 1)
        elif what == "called" and calling:
            sent.append(calling.pop(choice % len(calling)))
            lane.called()
        elif what == "finished" and sent:
            job = sent.pop(choice % len(sent))
            ended.append(job)
            lane.finished(job[0])
        elif what == "drop":
            lane.drop(lambda job: job[1] % 4 == choice)
            waiting[:] = [job for job in waiting if job[1] % 4 != choice]

    for step in steps:
        act(*step)
        start()
    while calling or sent:
        act("called", 0)
        act("finished", 0)
        start()
    assert not waiting
    for key in (b"\1", b"\2", b"\3"):
        mine = [job[1] for job in ended if job[0] == key]
        assert mine == sorted(mine)
