"""Numbers out of the scheduler's answers."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2 as pb

from services.hodometer.core.counting import is_active_experiment, is_model, is_running_pipeline, server_values
from tests.hodometer.peers import Versions, pipeline, replica, server

RUNNING = {"PipelineCreate", "PipelineCreating", "PipelineReady"}


def test_deleted_models_do_not_count() -> None:
    assert is_model(pb.ModelStatusResponse(modelName="iris"))
    assert not is_model(pb.ModelStatusResponse(modelName="iris", deleted=True))


def test_only_active_experiments_count() -> None:
    assert is_active_experiment(pb.ExperimentStatusResponse(active=True))
    assert not is_active_experiment(pb.ExperimentStatusResponse(candidatesReady=True))


@pytest.mark.parametrize("name", Versions.PipelineStatus.keys())
def test_a_pipeline_counts_while_it_is_made_or_ready(name: str) -> None:
    state = Versions.PipelineStatus.Value(name)
    assert is_running_pipeline(pipeline("p", state)) == (name in RUNNING)


def test_any_version_makes_a_pipeline_count() -> None:
    assert is_running_pipeline(pipeline("p", Versions.PipelineFailed, Versions.PipelineReady))
    assert not is_running_pipeline(pipeline("p"))


@pytest.mark.parametrize(
    ("expected", "available", "servers", "replicas"),
    [(2, 3, 1, 2), (2, 0, 1, 2), (-1, 3, 1, 3), (0, 3, 1, 3), (0, 0, 0, 0), (-1, 0, 0, 0)],
)
def test_replicas_are_the_expected_ones_else_the_available_ones(
    expected: int, available: int, servers: int, replicas: int
) -> None:
    values = server_values([server(expected, available)])
    assert (values["server_count"], values["server_replica_count"]) == (servers, replicas)


@pytest.mark.parametrize(
    ("over_commit", "loaded", "multi_model", "over_committed"),
    [(0, 0, 0, 0), (0, 1, 0, 0), (0, 2, 1, 0), (20, 0, 1, 1), (20, 5, 1, 1)],
)
def test_over_commit_makes_a_replica_multi_model(
    over_commit: int, loaded: int, multi_model: int, over_committed: int
) -> None:
    values = server_values([server(1, 1, replica(over_commit=over_commit, loaded=loaded))])
    assert (values["multimodel_enabled_count"], values["overcommit_enabled_count"]) == (multi_model, over_committed)


@settings(deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 2**40), st.integers(0, 50), st.integers(0, 3)),
            max_size=4,
        ),
        max_size=4,
    )
)
def test_replicas_of_all_servers_add_up(fleet: list[list[tuple[int, int, int]]]) -> None:
    messages = [
        server(-1, len(group), *(replica(memory=memory, over_commit=over, loaded=held) for memory, over, held in group))
        for group in fleet
    ]
    every = [entry for group in fleet for entry in group]
    assert server_values(messages) == {
        "server_count": sum(bool(group) for group in fleet),
        "server_replica_count": len(every),
        "multimodel_enabled_count": sum(over > 0 or held > 1 for _, over, held in every),
        "overcommit_enabled_count": sum(over > 0 for _, over, _ in every),
        "server_memory_gb_sum": sum(memory for memory, _, _ in every) / 1e9,
    }
