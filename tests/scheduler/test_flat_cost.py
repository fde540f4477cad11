"""One change costs the same with ten models and with a thousand, counted in what is sent, not in seconds."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import Effect
from services.scheduler.core.envoy.resources import CLUSTER, ENDPOINTS, SCOPE, ResourceKey
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.inventory import Announced
from services.scheduler.core.models.placement import Need, Placement, ServerOffer, place
from services.scheduler.core.models.unplaced import Unplaced
from services.scheduler.core.state import ReplicaKey, VersionKey
from tests.scheduler.builders import model, replica
from tests.scheduler.conftest import running

PLACE = ReplicaKey("mlserver", 0)


def control_with(models: int) -> Control:
    """That many available models on one server."""
    control = Control()
    control.start(0.0, 0.0)
    names = [f"m{number}" for number in range(models)]
    held = [Announced(VersionKey(name, 1), model(name, memory=1)) for name in names]
    control.agent_connected(PLACE, replica(1, total=10_000), True, held, 0.0)
    for name in names:
        control.routes_acked(name, control.state.models[name].revision, 0.0)
    return control


def an_update(control: Control) -> list[Effect]:
    """Everything that the steps of one rolling update ask for."""
    new = VersionKey("m3", 2)
    effects = control.load_model(model("m3", "b", memory=1), 1.0)
    effects += control.loaded(PLACE, new, 9_000, None, 2.0)
    effects += control.routes_acked("m3", control.state.models["m3"].revision, 3.0)
    effects += control.unloaded(PLACE, VersionKey("m3", 1), 9_000, 4.0)
    effects += control.routes_acked("m3", control.state.models["m3"].revision, 5.0)
    return effects


def test_effects_of_one_update_do_not_grow_with_the_number_of_models() -> None:
    few, some, many = (an_update(control_with(models)) for models in (10, 100, 1_000))
    assert few == some == many
    assert len(few) < 20


@pytest.mark.parametrize("models", [10, 300])
async def test_envoy_is_sent_only_the_changed_models_resources(tmp_path: Path, models: int) -> None:
    async with running(tmp_path) as scheduler:
        envoy = await scheduler.add_envoy()
        await scheduler.add_agent()
        for number in range(models):
            await scheduler.load(model(f"m{number}"))
        await scheduler.until_all_available({f"m{number}" for number in range(models)})
        # Five of each, and the scope of the version 1 gateway.
        assert len(envoy.client.resources) == 5 * models + 1
        envoy.client.received.clear()
        await scheduler.load(model("m3", "b"))
        await scheduler.until("m3", pb.ModelStatus.ModelAvailable, version=2)
        await envoy.until_withdrawn(ResourceKey(CLUSTER, "m3_1_http"))
    # Two clusters come, two go; two endpoint lists; the scope is changed once.
    assert Counter(key.type_url for key in envoy.client.received) == {CLUSTER: 4, ENDPOINTS: 2, SCOPE: 1}
    assert all(key.name.startswith("m3") for key in envoy.client.received)


def test_an_event_plans_only_models_that_it_may_help(monkeypatch: pytest.MonkeyPatch) -> None:
    control = control_with(10)
    other = ReplicaKey("other", 0)
    control.agent_connected(other, replica(1, total=500), True, [], 0.0)
    for number in range(1_000):
        control.load_model(model(f"large{number:03}", memory=1_000_000), 1.0)
    place_of_all = control.state.replica(PLACE)
    assert place_of_all is not None
    place_of_all.total_bytes = 0  # the agent did not tell, so that what it reports as free is believed
    planned = []

    def counted(need: Need, offers: list[ServerOffer]) -> Placement:
        planned.append(need)
        return place(need, offers)

    monkeypatch.setattr("services.scheduler.core.models.reconcile.place", counted)
    an_update(control)
    assert len(planned) == 1
    planned.clear()
    control.unload_model("m4", 6.0)
    control.routes_acked("m4", control.state.models["m4"].revision, 7.0)
    control.unloaded(PLACE, VersionKey("m4", 1), 2_000_000, 8.0)
    assert len(planned) == 2, "two of a thousand fit into what has been freed"
    assert len(control.state.unplaced) == 998
    control.load_failed(PLACE, VersionKey("large000", 1), 2_000_000, "broken", 9.0)
    assert [name for name in ("large000", "large001", "large002") if name not in control.state.unplaced] == [
        "large000",
        "large001",
        "large002",
    ], "whoever has waited longest comes next"


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 5), st.sets(st.integers(0, 2)), st.booleans())))
def test_the_index_finds_what_a_search_finds(history: list[tuple[int, int, set[int], bool]]) -> None:
    index, waiting = Unplaced(), {}
    for number, memory, replicas, add in history:
        name = f"m{number}"
        if add:
            index.add(name, memory, replicas)
            waiting[name] = memory, replicas
        else:
            index.discard(name)
            waiting.pop(name, None)
        assert list(index) == sorted(waiting)
        assert len(index) == len(waiting)
        for key in range(3):
            needs = {name: needed for name, (needed, keys) in waiting.items() if key in keys}
            assert index.least(key) == min(needs.values(), default=None)
            for free in range(6):
                assert set(index.fitting(key, free)) == {name for name, needed in needs.items() if needed <= free}
