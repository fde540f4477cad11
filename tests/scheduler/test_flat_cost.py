"""One change costs the same with ten models and with a thousand, counted in what is sent, not in seconds."""

from collections import Counter
from pathlib import Path

import pytest
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import Effect
from services.scheduler.core.envoy.resources import CLUSTER, ENDPOINTS, SCOPE, ResourceKey
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.inventory import Announced
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
        assert len(envoy.client.resources) == 5 * models
        envoy.client.received.clear()
        await scheduler.load(model("m3", "b"))
        await scheduler.until("m3", pb.ModelStatus.ModelAvailable, version=2)
        await envoy.until_withdrawn(ResourceKey(CLUSTER, "m3_1_http"))
    # Two clusters come, two go; two endpoint lists; the scope is changed once.
    assert Counter(key.type_url for key in envoy.client.received) == {CLUSTER: 4, ENDPOINTS: 2, SCOPE: 1}
    assert all(key.name.startswith("m3") for key in envoy.client.received)
