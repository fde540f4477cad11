"""When a log counts as lost."""

from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.kafka.log_watch import Findings, LogWatch

HERE = TopicPartition("t", 0)


@settings(deadline=None)
@given(ends=st.lists(st.integers(0, 50)))
def test_a_log_is_lost_when_it_reaches_less_far_than_it_did(ends: list[int]) -> None:
    watch, furthest = LogWatch(), 0
    for end in ends:
        found = watch.look({HERE: end}, {HERE: 0})
        assert found.lost == ((HERE,) if end < furthest else ())
        assert found.foreign == ()
        furthest = max(furthest, end)


def test_a_position_behind_the_end_of_a_log_that_never_reached_it_is_foreign() -> None:
    watch = LogWatch()
    assert watch.look({HERE: 3}, {HERE: 5}) == Findings(foreign=(HERE,))
    assert watch.look({HERE: 5}, {HERE: 5}) == Findings()
    assert watch.look({HERE: 3}, {HERE: 5}) == Findings(lost=(HERE,))


def test_what_is_forgotten_may_be_shorter() -> None:
    watch = LogWatch()
    watch.look({HERE: 5}, {HERE: 5})
    watch.forget([HERE])
    assert watch.look({HERE: 0}, {HERE: 0}) == Findings()
