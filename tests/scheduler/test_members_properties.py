"""Random histories of engines and gateways: what must never happen never does, and in the end everything is ready."""

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.effects import ModelChanged, PipelineChanged
from services.scheduler.core.members.deployment import Deployment, Phase
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.members.rounds import Answer, Operation
from services.scheduler.core.models.status import gateway_status as model_gateway_status
from services.scheduler.core.pipelines.reconcile import reconcile
from services.scheduler.core.pipelines.routes import routed_members
from services.scheduler.core.pipelines.status import engine_status, gateway_status
from services.scheduler.core.routing import NO_GATEWAY
from services.scheduler.core.state import Address
from shared.errors import RejectedRequest
from tests.scheduler.builders import model, pipeline
from tests.scheduler.histories import SLICES, History, histories
from tests.scheduler.members_world import MembersWorld, Peer

PIPELINES = ("alpha", "beta")
MODELS = ("iris", "wine")


def world(owners_per_key: int) -> MembersWorld:
    peers = [Peer(Kind.ENGINE, f"flow-{n}") for n in range(3)]
    peers += [Peer(Kind.MODEL_GATEWAY, f"mgw-{n}") for n in range(2)]
    peers += [Peer(Kind.PIPELINE_GATEWAY, f"pgw-{n}", Address("127.0.0.1", 100 + n, 200 + n)) for n in range(3)]
    return MembersWorld(peers, owners_per_key)


def peer_of(w: MembersWorld, n: int) -> Peer:
    return list(w.peers.values())[n % len(w.peers)]


def load(w: MembersWorld, n: int) -> None:
    with contextlib.suppress(RejectedRequest):
        w.load(pipeline(PIPELINES[n % 2], MODELS[n // 2 % 2], clean=n // 4 % 2 == 1))


def unload(w: MembersWorld, n: int) -> None:
    with contextlib.suppress(RejectedRequest):
        w.unload(PIPELINES[n % 2])


def load_model(w: MembersWorld, n: int) -> None:
    with contextlib.suppress(RejectedRequest):
        w.effects(w.core.models.load_model(model(MODELS[n % 2], "ab"[n // 2 % 2]), w.now))


def unload_model(w: MembersWorld, n: int) -> None:
    with contextlib.suppress(RejectedRequest):
        w.effects(w.core.models.unload_model(MODELS[n % 2], w.now))


def everybodys_turn(w: MembersWorld, n: int) -> None:
    for peer in w.peers.values():
        peer.work(w.now)
        w.deliver(peer)
    for name in PIPELINES:
        w.take(f"{name}.pipeline")
        w.ack(f"{name}.pipeline")


def stranger(w: MembersWorld, n: int) -> None:
    """Answers that nobody asked for change nothing."""
    kind = list(Kind)[n % 3]
    resource = (*PIPELINES, *MODELS)[n // 3 % 4]
    told = Answer("nobody", resource, 1, n, Operation.CREATE, True, "", "uid1")
    late = Answer(peer_of(w, n).name, resource, 1, 999_000_000 - n, Operation.DELETE, False, "", "uid1")
    for answer in (told, late):
        assert w.core.answered(kind, answer, w.now) == []


def fail(w: MembersWorld, n: int) -> None:
    peer_of(w, n).fail_next = True


Action = Callable[[MembersWorld, int], None]
ACTIONS: dict[str, Action] = {
    "load": load,
    "load again": load,
    "unload": unload,
    "load a model": load_model,
    "unload a model": unload_model,
    "join": lambda w, n: w.connect(peer_of(w, n), fresh=True),
    "reconnect": lambda w, n: w.connect(peer_of(w, n), fresh=False),
    "leave": lambda w, n: w.disconnect(peer_of(w, n)),
    "work": lambda w, n: peer_of(w, n).work(w.now),
    "deliver": lambda w, n: w.deliver(peer_of(w, n)),
    "deliver twice": lambda w, n: w.deliver(peer_of(w, n), keep=True),
    "fail": fail,
    "everybody's turn": everybodys_turn,
    "everybody's next turn": everybodys_turn,
    "everybody's last turn": everybodys_turn,
    "stranger": stranger,
    "take": lambda w, n: w.take(f"{PIPELINES[n % 2]}.pipeline"),
    "ack": lambda w, n: w.ack(f"{PIPELINES[n % 2]}.pipeline"),
    "nack": lambda w, n: w.nack(f"{PIPELINES[n % 2]}.pipeline"),
    "wait": lambda w, n: w.wait((1, 5, 20, 130)[n % 4]),
    "restart": lambda w, n: w.restart((0, 10)[n % 2]),
}


def silence(w: MembersWorld, n: int) -> None:
    peer_of(w, n).silent_until = w.now + (10, 100, 1_000, 1_000_000)[n // 8 % 4]


def speak_again(w: MembersWorld, n: int) -> None:
    peer_of(w, n).silent_until = 0.0


def cut(w: MembersWorld, n: int) -> None:
    """The machine loses power, or the network drops what is sent: nobody is told."""
    peer = peer_of(w, n)
    if peer.connected and peer.cut_since is None:
        peer.cut_since = w.now
        peer.inbox.clear()


def lose_an_answer(w: MembersWorld, n: int) -> None:
    del peer_of(w, n).outbox[:1]


def wait_long(w: MembersWorld, n: int) -> None:
    until = w.now + (130, 620, 2_000, 5_000)[n % 4]
    while w.now < until:
        w.wait(until - w.now)
        w.tick()


def answer_again(w: MembersWorld, n: int) -> None:
    """The scheduler hears once more what was said last, or long ago."""
    peer = peer_of(w, n)
    if peer.said:
        w.answer(peer, peer.said[n // 8 % len(peer.said)])


def answer_otherwise(w: MembersWorld, n: int) -> None:
    """An answer of the right round that says what is not so, or is about another version."""
    peer = peer_of(w, n)
    if peer.inbox:
        told = peer.inbox[0].instruction
        definition = peer.inbox[0].pipeline
        version = (definition.version if definition else told.deployment.version) + n // 8 % 2
        operation = (Operation.CREATE, Operation.DELETE, Operation.REBALANCE, Operation.READY)[n // 16 % 4]
        uid = definition.uid if definition else ""
        lie = Answer(peer.name, peer.inbox[0].resource, version, told.timestamp, operation, n // 64 % 2 == 0, "", uid)
        peer.honest = False
        w.answer(peer, lie)


SILENT: dict[str, Action] = ACTIONS | {
    "silence": silence,
    "speak again": speak_again,
    "cut": cut,
    "lose an answer": lose_an_answer,
    "wait long": wait_long,
}
DISHONEST: dict[str, Action] = SILENT | {"answer again": answer_again, "answer otherwise": answer_otherwise}


def play(history: History, owners_per_key: int, actions: dict[str, Action] = ACTIONS) -> MembersWorld:
    w = world(owners_per_key)
    for n in (0, 1, 3, 5, 6):
        w.connect(peer_of(w, n), fresh=True)
    for name, number in history:
        actions[name](w, number)
        w.tick()
    return w


def check_at_rest(w: MembersWorld) -> None:
    pipelines = w.core.pipelines.pipelines
    for name, known in pipelines.by_name.items():
        statuses = (
            engine_status(pipelines, known, known.latest).state,
            gateway_status(pipelines, known, known.latest).state,
        )
        if known.deleted:
            assert statuses == ("PipelineTerminated", "PipelineTerminated"), (name, statuses)
            assert w.routed.get(known.scope, NO_GATEWAY) == NO_GATEWAY
            assert w.runs(Kind.ENGINE, name) == w.runs(Kind.PIPELINE_GATEWAY, name) == {}
            continue
        assert statuses == ("PipelineReady", "PipelineReady"), (name, statuses)
        uid = known.latest.definition.uid
        running = w.runs(Kind.ENGINE, name)
        assert running == {owner: [uid] for owner in pipelines.engines.owners(name)}, running
        owners = pipelines.gateways.owners(pipelines.gateway_key(name))
        assert set(w.runs(Kind.PIPELINE_GATEWAY, name)) == set(owners) == routed_members(pipelines, known)
        assert w.routed[known.scope] == known.published == known.taken
    gateways = w.core.model_gateways
    for loaded in w.core.models.state.models.values():
        state, reason = model_gateway_status(loaded, loaded.latest, gateways)
        assert state == ("ModelTerminated" if loaded.deleted else "ModelAvailable"), (loaded.name, reason)
        assert set(loaded.gateway.assignments) == (
            set() if loaded.deleted else set(gateways.fleet.owners(gateways.key(loaded.name)))
        )


def check_without(w: MembersWorld, silent: Peer) -> None:
    """Every pipeline answers: whoever says nothing is passed over."""
    pipelines = w.core.pipelines.pipelines
    for name, known in pipelines.by_name.items():
        if known.deleted:
            continue
        assert silent.name not in pipelines.engines.owners(name) or _is_ready(known.latest.engine, silent), name
        engine = engine_status(pipelines, known, known.latest)
        gateway = gateway_status(pipelines, known, known.latest)
        assert (engine.state, gateway.state) == ("PipelineReady", "PipelineReady"), (name, engine, gateway)


def _is_ready(deployment: Deployment, peer: Peer) -> bool:
    assignment = deployment.assignments.get(peer.name)
    return assignment is not None and assignment.phase is Phase.READY


def check(
    history: History, owners_per_key: int, actions: dict[str, Action] = ACTIONS, silent: int | None = None
) -> None:
    w = play(history, owners_per_key, actions)
    if silent is not None:
        w.endure(peer_of(w, silent))
        check_without(w, peer_of(w, silent))
    w.calm_down()
    check_at_rest(w)
    for known in w.pipelines.values():
        assert reconcile(w.core.pipelines.pipelines, known, w.now) == [PipelineChanged(known.name)]
    assert w.core.model_gateways.models_changed(MODELS, w.now) == []
    assert w.core.follow([ModelChanged(name) for name in MODELS], w.now)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 999)), min_size=15, max_size=60),
    st.sampled_from((1, 2, 3)),
)
def test_short_histories_end_well(history: History, owners_per_key: int) -> None:
    check(history, owners_per_key)


@pytest.mark.parametrize("part", range(SLICES))
def test_long_histories_end_well(part: int) -> None:
    for history, chance in histories(sorted(ACTIONS), part, usually=40):
        check(history, chance.choice((1, 2, 3)))


@pytest.mark.parametrize("part", range(SLICES))
def test_histories_with_silent_members_end_well(part: int) -> None:
    for history, chance in histories(sorted(SILENT), part, usually=40):
        check(history, chance.choice((1, 2, 3)), SILENT, chance.choice((*[None] * 8, *range(8))))


@pytest.mark.parametrize("part", range(SLICES))
def test_histories_with_dishonest_members_end_well(part: int) -> None:
    for history, chance in histories(sorted(DISHONEST), part, usually=40):
        check(history, chance.choice((1, 2, 3)), DISHONEST, chance.choice((*[None] * 8, *range(8))))
