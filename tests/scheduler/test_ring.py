"""Consistent hashing: everybody agrees, and a change of members moves only what it has to."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.members.ring import Ring
from services.scheduler.uid import UidMaker

KEYS = [f"pipeline-{n}" for n in range(40)]
NAMES = st.sets(st.sampled_from([f"flow-{n}" for n in range(8)]), min_size=1)


@settings(max_examples=30, deadline=None)
@given(NAMES, st.integers(1, 4))
def test_owners_are_as_many_as_there_can_be_and_do_not_depend_on_the_order(names: set[str], owners: int) -> None:
    ring, other = Ring(sorted(names), owners), Ring(sorted(names, reverse=True), owners)
    for key in KEYS:
        found = ring.owners(key)
        assert found == other.owners(key)
        assert len(set(found)) == len(found) == min(len(names), owners)
        assert set(found) <= names


@settings(max_examples=30, deadline=None)
@given(NAMES)
def test_a_new_member_takes_over_and_nothing_moves_between_the_others(names: set[str]) -> None:
    before, after = Ring(names, 1), Ring(names | {"flow-new"}, 1)
    for key in KEYS:
        assert after.owners(key) in (before.owners(key), ("flow-new",))


def test_nobody_owns_anything_without_members() -> None:
    assert Ring((), 1).owners("pipeline") == ()


def test_uids_are_sorted_and_distinct() -> None:
    make = UidMaker()
    made = [make() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {len(uid) for uid in made} == {20}
    assert made == sorted(made)
