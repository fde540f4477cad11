"""Random histories of engines and gateways: what must never happen never does, and in the end everything is ready."""

import contextlib
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.effects import ModelChanged, PipelineChanged
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
        peer.work()
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
    "work": lambda w, n: peer_of(w, n).work(),
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


def play(history: list[tuple[str, int]], owners_per_key: int) -> MembersWorld:
    w = world(owners_per_key)
    for n in (0, 1, 3, 5, 6):
        w.connect(peer_of(w, n), fresh=True)
    for name, number in history:
        ACTIONS[name](w, number)
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
        assert w.runs(Kind.ENGINE, name) == {owner: [uid] for owner in pipelines.engines.owners(name)}
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


def check(history: list[tuple[str, int]], owners_per_key: int) -> None:
    w = play(history, owners_per_key)
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
def test_short_histories_end_well(history: list[tuple[str, int]], owners_per_key: int) -> None:
    check(history, owners_per_key)


@pytest.mark.parametrize("seed", range(4))
def test_long_histories_end_well(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        history = [(chance.choice(sorted(ACTIONS)), chance.randrange(1000)) for _ in range(chance.randrange(20, 160))]
        check(history, chance.choice((1, 2, 3)))
