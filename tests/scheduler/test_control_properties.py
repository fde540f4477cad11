"""Random histories with faults: what must never happen never does, and in the end everything is where it belongs."""

import contextlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.core.effects import ModelChanged
from services.scheduler.core.models.definition import need_of
from services.scheduler.core.models.lifecycle import ModelState, version_status
from services.scheduler.core.models.placement import place
from services.scheduler.core.models.reconcile import offers, reconcile
from services.scheduler.core.models.route_plan import plan_routes
from services.scheduler.core.state import LOADED, SERVING, ReplicaKey, VersionKey
from shared.errors import RejectedRequest
from tests.scheduler.builders import model
from tests.scheduler.histories import SLICES, History, histories
from tests.scheduler.world import Agent, World, plan_of

MODELS = ("iris", "wine", "digits")
REPLICAS = (ReplicaKey("big", 0), ReplicaKey("big", 1), ReplicaKey("small", 0))
MEMORY = {"big": 300, "small": 200}


def world() -> World:
    return World(Agent(key, MEMORY[key.server]) for key in REPLICAS)


def load(w: World, n: int) -> None:
    name, n = MODELS[n % 3], n // 3
    uri, n = "ab"[n % 2], n // 2
    replicas, n = (1, 1, 2, 0)[n % 4], n // 4
    memory, n = (100, 150)[n % 2], n // 2
    minimum, n = min(replicas, (0, 1)[n % 2]), n // 2
    server = (None, None, "big", "small")[n % 4]
    with contextlib.suppress(RejectedRequest):  # the model of this name is still being removed
        w.load(model(name, uri, replicas=replicas, memory=memory, min_replicas=minimum, server=server))


def unload(w: World, n: int) -> None:
    if MODELS[n % 3] in w.control.state.models:
        w.unload(MODELS[n % 3])


def agent_of(w: World, n: int) -> Agent:
    return w.agents[REPLICAS[n % 3]]


def work(w: World, n: int) -> None:
    agent_of(w, n).work(n // 3, w.now)


def fail_load(w: World, n: int) -> None:
    agent_of(w, n).fail_next.add("load")


def fail_unload(w: World, n: int) -> None:
    agent_of(w, n).fail_next.add("unload")


def work_and_deliver(w: World, n: int) -> None:
    """One whole turn of every agent, so that histories get somewhere."""
    for agent in w.agents.values():
        agent.work(n, w.now)
        w.deliver(agent)


def envoy_turn(w: World, n: int) -> None:
    for name in MODELS:
        w.take(name)
        w.ack(name)


Action = Callable[[World, int], None]
ACTIONS: dict[str, Action] = {
    "load": load,
    "load again": load,
    "unload": unload,
    "connect": lambda w, n: w.connect(agent_of(w, n)),
    "reconnect": lambda w, n: w.connect(agent_of(w, n)),
    "disconnect": lambda w, n: w.disconnect(agent_of(w, n)),
    "crash": lambda w, n: w.crash(agent_of(w, n)),
    "drain": lambda w, n: w.drain(agent_of(w, n)),
    "work": work,
    "deliver": lambda w, n: w.deliver(agent_of(w, n)),
    "agents' turn": work_and_deliver,
    "agents' next turn": work_and_deliver,
    "fail a load": fail_load,
    "fail an unload": fail_unload,
    "take": lambda w, n: w.take(MODELS[n % 3]),
    "ack": lambda w, n: w.ack(MODELS[n % 3]),
    "nack": lambda w, n: w.nack(MODELS[n % 3]),
    "Envoy's turn": envoy_turn,
    "Envoy's next turn": envoy_turn,
    "wait": lambda w, n: w.wait((1, 5, 40)[n % 3]),
    "restart": lambda w, n: w.restart((0, 10)[n % 2]),
}


def silence(w: World, n: int) -> None:
    agent_of(w, n).silent_until = w.now + (100, 1_000, 10_000, 1_000_000)[n // 3 % 4]


def speak_again(w: World, n: int) -> None:
    agent_of(w, n).silent_until = 0.0


def cut(w: World, n: int) -> None:
    """The machine loses power, or the network drops what is sent: nobody is told."""
    agent = agent_of(w, n)
    if agent.connected and agent.cut_since is None:
        agent.cut_since = w.now
        agent.inbox.clear()


def lose_a_report(w: World, n: int) -> None:
    del agent_of(w, n).outbox[:1]


def answer_twice(w: World, n: int) -> None:
    """The scheduler hears once more what was said last, or long ago."""
    agent = agent_of(w, n)
    if agent.said:
        agent.honest = False
        w.report(agent, *agent.said[n // 3 % len(agent.said)])


def lie(w: World, n: int) -> None:
    """An outcome of anything, whether or not it was asked for."""
    agent = agent_of(w, n)
    event = ("loaded", "load_failed", "unloaded", "unload_failed")[n // 3 % 4]
    name = (*MODELS, "ghost")[n // 12 % 4]
    if agent.connected:
        agent.honest = False
        w.report(agent, event, VersionKey(name, n // 48 % 4), agent.free)


def load_unasked(w: World, n: int) -> None:
    """It really is there, and takes memory."""
    agent = agent_of(w, n)
    definition = model((*MODELS, "ghost")[n // 3 % 4], memory=50)
    key = VersionKey(definition.meta.name, n // 12 % 4 + 1)
    if agent.connected and agent.cut_since is None and agent.free >= 50 and key not in agent.held:
        agent.honest = False
        agent.held[key] = definition
        w.report(agent, "loaded", key, agent.free)


def wait_long(w: World, n: int) -> None:
    until = w.now + (130, 700, 2_000, 10_000)[n % 4]
    while w.now < until:
        w.wait(until - w.now)
        w.tick()


SILENT: dict[str, Action] = ACTIONS | {
    "silence": silence,
    "speak again": speak_again,
    "cut": cut,
    "lose a report": lose_a_report,
    "wait long": wait_long,
}
DISHONEST: dict[str, Action] = SILENT | {
    "answer twice": answer_twice,
    "lie": lie,
    "load unasked": load_unasked,
}


def play(history: History, actions: dict[str, Action] = ACTIONS) -> World:
    w = world()
    for key in REPLICAS:
        w.connect(w.agents[key])
    for name, number in history:
        actions[name](w, number)
        w.tick()
    return w


def check_at_rest(w: World) -> None:
    state = w.control.state
    wanted: dict[ReplicaKey, set[VersionKey]] = {key: set() for key in REPLICAS}
    for name, known in state.models.items():
        latest = known.latest
        status = version_status(known, latest)
        if known.deleted:
            assert status.state is ModelState.TERMINATED
            assert plan_of(w, name).routed is None
            continue
        for index in latest.indexes(SERVING):
            wanted[ReplicaKey(latest.server or "", index)].add(VersionKey(name, latest.number))
        if len(latest.indexes(LOADED)) < latest.needed_replicas:
            assert place(need_of(latest), offers(state, latest)).failure, f"{name} would fit"
            assert latest.placement_failure is not None
        else:
            expected = ModelState.AVAILABLE if latest.needed_replicas else ModelState.SCALED_DOWN
            assert status.state is expected, (name, status)
        if latest.indexes(LOADED):
            assert plan_of(w, name).routed == latest.number
            assert len(known.versions) == 1, f"old versions of {name} are left"
        assert plan_of(w, name) == plan_routes(known, state.servers) == known.published
    for key, agent in w.agents.items():
        assert set(agent.held) - still_needed(w, key) == wanted[key], f"{key} holds {set(agent.held)}"
        known_replica = state.replica(key)
        assert known_replica is not None
        assert known_replica.memory.taken == known_replica.total_bytes - agent.free
        assert known_replica.copies == set(agent.held)
        assert known_replica.available_bytes == agent.free
        for version_key, definition in agent.held.items():
            version = state.version(version_key)
            assert version is not None
            assert definition.modelSpec == version.definition.modelSpec, f"{key} holds an old {version_key}"


def still_needed(w: World, key: ReplicaKey) -> set[VersionKey]:
    """Older versions that go on serving because the latest one has no place."""
    needed = set()
    for name, known in w.control.state.models.items():
        for version in known.older():
            if not known.deleted and version.server == key.server and key.replica in version.indexes(SERVING):
                assert not known.latest.indexes(LOADED)
                assert plan_of(w, name).routed == version.number
                needed.add(VersionKey(name, version.number))
    return needed


def check_idempotent(w: World) -> None:
    for known in list(w.control.state.models.values()):
        for retry in (False, True):
            assert reconcile(w.control.state, known, w.now, retry=retry) == [ModelChanged(known.name)]


def check_without(w: World, silent: Agent) -> None:
    """Every model of one copy answers, unless the silent replica is the only one that it could be on."""
    state = w.control.state
    for name, known in state.models.items():
        latest = known.latest
        if known.deleted or latest.needed_replicas != 1 or latest.indexes(LOADED):
            continue
        places = [
            replace(offer, replicas=tuple(each for each in offer.replicas if (offer.name, each.index) != silent.key))
            for offer in offers(state, latest)
        ]
        assert place(need_of(latest), places).failure, f"{name} could be on another replica than {silent.key}"


def check(history: History, actions: dict[str, Action] = ACTIONS, silent: ReplicaKey | None = None) -> None:
    w = play(history, actions)
    if silent is not None:
        w.endure(w.agents[silent])
        check_without(w, w.agents[silent])
    w.calm_down()
    check_at_rest(w)
    check_idempotent(w)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.integers(0, 999)), min_size=15, max_size=60))
def test_short_histories_end_well_and_never_break_a_route(history: History) -> None:
    check(history)


@pytest.mark.parametrize("part", range(SLICES))
def test_long_histories_end_well_and_never_break_a_route(part: int) -> None:
    for history, _ in histories(sorted(ACTIONS), part, usually=320):
        check(history)


@pytest.mark.parametrize("part", range(SLICES))
def test_histories_with_silent_agents_end_well(part: int) -> None:
    for history, chance in histories(sorted(SILENT), part, usually=160):
        check(history, SILENT, chance.choice((None, None, None, *REPLICAS)))


@pytest.mark.parametrize("part", range(SLICES))
def test_histories_with_dishonest_agents_end_well(part: int) -> None:
    for history, chance in histories(sorted(DISHONEST), part, usually=160):
        check(history, DISHONEST, chance.choice((None, None, None, *REPLICAS)))


def test_a_failure_of_an_unload_that_was_not_asked_for_sends_nothing_past_envoy() -> None:
    """As it was once found: the copy waits for Envoy to let go, and an agent reports that its unload failed."""
    history = [("load", 2), ("work", 0), ("restart", 1), ("reconnect", 0), ("wait", 2), ("unload", 2), ("lie", 849)]
    check([*history, ("wait long", 0)], DISHONEST, ReplicaKey("big", 0))
