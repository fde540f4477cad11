"""Placement against a brute-force reading of its rules, over many small worlds."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.models.placement import (
    EXPLAINER_CAPABILITY,
    NO_REPLICAS,
    NO_SERVER,
    Need,
    Placement,
    ReplicaOffer,
    ServerOffer,
    place,
)

CAPABILITIES = ("sklearn", "xgboost", EXPLAINER_CAPABILITY)
NAMES = ("a", "b", "c")
MANY = settings(max_examples=100, deadline=None, derandomize=True, database=None)

needs = st.builds(
    Need,
    capabilities=st.lists(st.sampled_from(CAPABILITIES[:2]), max_size=2).map(tuple),
    memory=st.integers(0, 4),
    replicas=st.integers(0, 3),
    min_replicas=st.integers(0, 2),
    server=st.sampled_from((None, None, None, *NAMES)),
    explainer=st.booleans(),
).filter(lambda need: need.min_replicas <= need.replicas)


@st.composite
def servers(draw: st.DrawFn) -> tuple[ServerOffer, ...]:
    made = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        replicas = draw(st.lists(replica_offers, max_size=3))
        made.append(
            ServerOffer(
                name=name,
                capabilities=draw(st.frozensets(st.sampled_from(CAPABILITIES))),
                replicas=tuple(with_index(index, replica) for index, replica in enumerate(replicas)),
                shared=draw(st.booleans()),
                expected=draw(st.sampled_from((-1, -1, 0, 2))),
                current=draw(st.booleans()),
            )
        )
    return tuple(made)


replica_offers = st.builds(
    ReplicaOffer,
    index=st.just(0),
    free=st.integers(0, 5),
    holds=st.booleans(),
    failed=st.booleans(),
    connected=st.sampled_from((True, True, True, False)),
    draining=st.sampled_from((False, False, False, True)),
)


def with_index(index: int, replica: ReplicaOffer) -> ReplicaOffer:
    return ReplicaOffer(index, replica.free, replica.holds, replica.failed, replica.connected, replica.draining)


# The rules, written the slow and plain way.


def server_suits(need: Need, server: ServerOffer) -> bool:
    allowed = server.name == need.server if need.server is not None else server.shared
    capable = set(need.capabilities) <= server.capabilities
    return allowed and capable and server.expected != 0 and any(r.connected for r in server.replicas)


def replica_suits(need: Need, server: ServerOffer, replica: ReplicaOffer) -> bool:
    there = replica.connected or replica.holds
    fits = replica.holds or replica.free >= need.memory
    explains = not need.explainer or EXPLAINER_CAPABILITY in server.capabilities
    return there and not replica.draining and fits and explains


def suitable(need: Need, server: ServerOffer) -> list[ReplicaOffer]:
    if not server_suits(need, server):
        return []
    return [replica for replica in server.replicas if replica_suits(need, server, replica)]


def has_room(need: Need, server: ServerOffer, copies: int) -> bool:
    return server_suits(need, server) and len(suitable(need, server)) >= copies


def by_name(offers: tuple[ServerOffer, ...], name: str | None) -> ServerOffer:
    return next(server for server in offers if server.name == name)


def is_preferred(one: ReplicaOffer, other: ReplicaOffer) -> bool:
    """Whether `one` goes before `other`: it holds the version, did not fail, has more memory, a lower index."""
    for better, worse in ((one.holds, other.holds), (other.failed, one.failed)):
        if better != worse:
            return better
    if one.free != other.free:
        return one.free > other.free
    return one.index < other.index


@MANY
@given(needs, servers())
def test_chosen_replicas_pass_every_filter_and_are_as_many_as_promised(
    need: Need, offers: tuple[ServerOffer, ...]
) -> None:
    placement = place(need, offers)
    if placement.server is None:
        assert placement.replicas == ()
        return
    server = by_name(offers, placement.server)
    assert server_suits(need, server)
    chosen = [replica for replica in server.replicas if replica.index in placement.replicas]
    assert len(chosen) == len(set(placement.replicas)) == len(placement.replicas)
    assert all(replica_suits(need, server, replica) for replica in chosen)
    if placement.failure:
        assert 0 < need.min_replicas <= len(chosen) < need.replicas
    else:
        assert len(chosen) == need.replicas


@MANY
@given(needs, servers())
def test_nothing_that_fits_is_refused(need: Need, offers: tuple[ServerOffer, ...]) -> None:
    placement = place(need, offers)
    fits_whole = any(has_room(need, server, need.replicas) for server in offers)
    fits_partly = need.min_replicas > 0 and any(has_room(need, server, need.min_replicas) for server in offers)
    assert (placement.failure == "") == fits_whole
    assert (placement.server is not None) == (fits_whole or fits_partly)


@MANY
@given(needs, servers())
def test_a_partial_placement_takes_all_it_can_get(need: Need, offers: tuple[ServerOffer, ...]) -> None:
    placement = place(need, offers)
    if placement.server is not None and placement.failure:
        server = by_name(offers, placement.server)
        assert set(placement.replicas) == {replica.index for replica in suitable(need, server)}


@MANY
@given(needs, servers())
def test_preferred_replicas_are_taken_first(need: Need, offers: tuple[ServerOffer, ...]) -> None:
    placement = place(need, offers)
    if placement.server is None:
        return
    candidates = suitable(need, by_name(offers, placement.server))
    chosen = [replica for replica in candidates if replica.index in placement.replicas]
    left_out = [replica for replica in candidates if replica.index not in placement.replicas]
    assert all(is_preferred(one, other) for one in chosen for other in left_out)
    order = [next(replica for replica in chosen if replica.index == index) for index in placement.replicas]
    assert all(is_preferred(one, other) for one, other in pairwise(order))


@MANY
@given(needs, servers())
def test_a_server_with_the_version_is_left_only_when_it_cannot_take_all_copies(
    need: Need, offers: tuple[ServerOffer, ...]
) -> None:
    placement = place(need, offers)
    if placement.server is None or placement.failure:
        return
    holders = {s.name for s in offers if has_room(need, s, need.replicas) and any(r.holds for r in s.replicas)}
    assert not holders or placement.server in holders


@MANY
@given(needs, servers())
def test_every_refusal_says_why(need: Need, offers: tuple[ServerOffer, ...]) -> None:
    placement = place(need, offers)
    assert {verdict.name for verdict in placement.verdicts} == {server.name for server in offers}
    for verdict in placement.verdicts:
        server = by_name(offers, verdict.name)
        assert (verdict.refusal == "") == has_room(need, server, need.replicas)
        if server_suits(need, server):
            refused = {replica.index for replica in verdict.replicas if replica.refusal.strip()}
            assert refused == {r.index for r in server.replicas if not replica_suits(need, server, r)}
    if placement.failure:
        assert placement.failure.startswith((NO_SERVER, NO_REPLICAS))
        for server in offers:
            assert f"{server.name} " in placement.failure
            assert by_verdict(placement, server.name) in placement.failure


def by_verdict(placement: Placement, name: str) -> str:
    return next(verdict.refusal for verdict in placement.verdicts if verdict.name == name)


@MANY
@given(needs, servers(), st.randoms(use_true_random=False))
def test_the_order_of_servers_does_not_matter(need: Need, offers: tuple[ServerOffer, ...], random: object) -> None:
    shuffled = list(offers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert place(need, offers) == place(need, shuffled)


def test_failure_names_every_server_and_replica() -> None:
    small = ServerOffer("small", frozenset({"sklearn"}), (ReplicaOffer(0, free=10), ReplicaOffer(1, 99, draining=True)))
    other = ServerOffer("other", frozenset({"torch"}), (ReplicaOffer(0, free=99),))
    placement = place(Need(("sklearn",), memory=50, replicas=1), [small, other])
    assert placement.failure == (
        "Failed to schedule model as no matching server had enough suitable replicas: "
        "other lacks capability sklearn; "
        "small 0 of 1 wanted replicas are suitable (replica 0 needs 50 bytes, has 10 free, replica 1 is draining)"
    )


def test_failure_without_any_server() -> None:
    expected = "Failed to schedule model as no matching servers are available: no server has registered"
    assert place(Need((), 0, 1), []).failure == expected
