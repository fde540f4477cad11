"""Which calls start when, against a simple model of keys and limits."""

from hypothesis import given
from hypothesis import strategies as st

from services.modelgateway.core.call_queue import CallQueue

Job = tuple[bytes | None, int]


def started(queue: CallQueue[Job]) -> list[Job]:
    return list(queue.startable())


def test_one_key_is_called_in_order_and_others_at_the_same_time() -> None:
    queue: CallQueue[Job] = CallQueue(10)
    for job in ((b"a", 1), (b"a", 2), (b"b", 3), (None, 4), (None, 5)):
        queue.put(job, job[0], 0)
    assert started(queue) == [(b"a", 1), (b"b", 3), (None, 4), (None, 5)]
    queue.called()
    assert started(queue) == []
    queue.finished(b"a")
    assert started(queue) == [(b"a", 2)]


def test_only_so_many_calls_are_in_flight() -> None:
    queue: CallQueue[Job] = CallQueue(2)
    for number in range(5):
        queue.put((None, number), None, 0)
    assert (queue.full, started(queue)) == (True, [(None, 0), (None, 1)])
    assert (queue.full, queue.drained) == (True, False)
    queue.called()
    assert started(queue) == [(None, 2)]
    queue.called()
    assert started(queue) == [(None, 3)]
    assert (queue.queued, queue.full, queue.drained) == (1, False, True)


def test_calls_wait_while_kafka_acknowledges_nothing() -> None:
    queue: CallQueue[Job] = CallQueue(1)
    for number in range(9):
        queue.put((None, number), None, 0)
    for number in range(4):
        assert started(queue) == [(None, number)]
        queue.called()
    assert started(queue) == []
    queue.finished(None)
    assert started(queue) == [(None, 4)]


def test_large_jobs_stop_reading_before_many_are_queued() -> None:
    queue: CallQueue[Job] = CallQueue(10)
    queue.put((None, 0), None, 1_000_000_000)
    assert (queue.full, queue.drained) == (True, False)
    assert started(queue) == [(None, 0)]
    assert (queue.full, queue.drained) == (False, True)


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["put", "called", "finished", "drop"]), st.integers(0, 3)), max_size=60),
)
def test_no_job_is_lost_doubled_or_out_of_order(limit: int, steps: list[tuple[str, int]]) -> None:
    queue: CallQueue[Job] = CallQueue(limit)
    number = 0
    waiting: list[Job] = []
    calling: list[Job] = []
    sent: list[Job] = []
    ended: list[Job] = []

    def start() -> None:
        for job in queue.startable():
            waiting.remove(job)
            calling.append(job)
        assert len(calling) <= limit
        assert len(sent) <= 4 * limit
        busy = [key for key, _ in calling + sent if key is not None]
        assert len(busy) == len(set(busy)), "one at a time for each key"
        free = [job for job in waiting if job[0] is None or job[0] not in busy]
        if len(calling) < limit and len(sent) < 4 * limit:
            assert not free, "whatever may start has started"
        assert (queue.queued, queue.calling, queue.unacknowledged) == (len(waiting), len(calling), len(sent))

    def act(what: str, choice: int) -> None:
        nonlocal number
        if what == "put":
            key = None if choice == 0 else bytes([choice])
            number += 1
            waiting.append((key, number))
            queue.put((key, number), key, 1)
        elif what == "called" and calling:
            sent.append(calling.pop(choice % len(calling)))
            queue.called()
        elif what == "finished" and sent:
            job = sent.pop(choice % len(sent))
            ended.append(job)
            queue.finished(job[0])
        elif what == "drop":
            queue.drop(lambda job: job[1] % 4 == choice)
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
