"""What a replica holds, what a restart leaves of it, and which model a request means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2

from services.agent.core.holdings import DoesNotFit, HeldModel, Holdings, ModelState, same_model
from services.agent.core.proxy_names import Addressed, is_model_path, resolve, rewrite_path
from services.agent.core.recovery import plan_recovery
from services.agent.server.answers import cause, grpc_says_not_loaded, index_state, rest_says_not_loaded
from shared.errors import NotFound
from shared.model_definition import copies
from tests.agent.artifacts import definition

names = st.sets(st.sampled_from([f"m{number}_1" for number in range(6)]))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 120), st.booleans()), max_size=30))
def test_memory_is_never_given_twice(steps: list[tuple[str, int, bool]]) -> None:
    holdings, taken = Holdings(100), dict[str, int]()
    for name, size, drop in steps:
        if drop:
            holdings.drop(name)
            taken.pop(name, None)
            continue
        holdings.put(HeldModel(name, definition(name, "/x"), ModelState.LOADING, taken.get(name, 0)))
        taken.setdefault(name, 0)
        fits = sum(taken.values()) - taken[name] + size <= 100
        if fits:
            holdings.reserve(name, size)
            taken[name] = size
        else:
            with pytest.raises(DoesNotFit, match=f"needs {size} bytes"):
                holdings.reserve(name, size)
        assert holdings.available_bytes == 100 - sum(taken.values())


def test_adopting_more_than_fits_never_goes_below_zero() -> None:
    holdings = Holdings(10)
    holdings.put(HeldModel("a_1", definition("a", "/x"), ModelState.LOADED, 50, loads=1))
    assert holdings.available_bytes == 0


@given(
    names,
    names,
    st.dictionaries(
        st.sampled_from([f"m{n}_1" for n in range(6)]), st.sampled_from(["READY", "UNAVAILABLE", "LOADING", ""])
    ),
)
def test_recovery_accounts_for_every_model_once(known: set[str], on_disk: set[str], index: dict[str, str]) -> None:
    plan = plan_recovery(known, on_disk, index)
    assert plan.adopt | plan.reload | plan.forget == known
    assert not plan.adopt & plan.reload
    assert not plan.forget & (plan.adopt | plan.reload)
    assert all(index.get(name) == "READY" and name in on_disk for name in plan.adopt)
    assert not plan.unload & (plan.adopt | plan.reload)
    assert {name for name, state in index.items() if state in ("READY", "LOADING")} <= plan.unload | known & on_disk
    assert plan.remove == on_disk - known


def test_runtime_info_does_not_make_another_model() -> None:
    one, other = definition("a", "/x"), definition("a", "/x")
    other.model.modelSpec.modelRuntimeInfo.mlserver.parallelWorkers = 4
    other.model.deploymentSpec.replicas = 3
    assert same_model(one, other)
    other.model.modelSpec.uri = "/y"
    assert not same_model(one, other)


def test_copies_of_a_model() -> None:
    triton = scheduler_pb2.TritonModelConfig(cpu=[scheduler_pb2.TritonCPU(instanceCount=3)])
    mlserver = scheduler_pb2.MLServerModelSettings(parallelWorkers=2)
    assert copies(scheduler_pb2.ModelRuntimeInfo(triton=triton)) == 3
    assert copies(scheduler_pb2.ModelRuntimeInfo(mlserver=mlserver)) == 2
    assert copies(scheduler_pb2.ModelRuntimeInfo()) == 1


def test_the_newest_loaded_version_answers_for_a_model() -> None:
    holdings = Holdings(100)
    for version, state, loads in (
        (1, ModelState.LOADED, 1),
        (2, ModelState.LOADED, 1),
        (10, ModelState.DOWNLOADING, 0),
    ):
        holdings.put(HeldModel(f"a_{version}", definition("a", "/x", version=version), state, loads=loads))
    assert resolve(Addressed("", "a"), holdings) == "a_2"
    assert resolve(Addressed("a_1", "b"), holdings) == "a_1"
    for stranger in (Addressed("a_3", "a"), Addressed("", "a.pipeline")):
        with pytest.raises(NotFound, match="on this replica"):
            resolve(stranger, holdings)


def test_of_several_header_values_the_last_counts() -> None:
    headers = [("seldon-internal-model", "a_1"), ("seldon-model", "x"), ("seldon-internal-model", "b_1, c_2")]
    assert Addressed.of(headers) == Addressed("c_2", "x")
    assert not Addressed.of([("other", "a")])


@pytest.mark.parametrize(
    ("path", "rewritten"),
    [
        ("/v2/models/iris/infer", "/v2/models/iris_1/infer"),
        ("/v2/models/iris/versions/3/infer", "/v2/models/iris_1/infer"),
        ("/v2/models/exp.experiment/infer?x=/v2", "/v2/models/iris_1/infer?x=/v2"),
        ("/v2/models/iris", "/v2/models/iris_1"),
        ("/v2/models/iris?x=1", "/v2/models/iris_1?x=1"),
        ("/v2/models/iris/versions/3", "/v2/models/iris_1"),
        ("/v2/models/versions/infer", "/v2/models/iris_1/infer"),
        ("/v2/health/live", "/v2/health/live"),
        ("/v2/models", "/v2/models"),
    ],
)
def test_paths_are_rewritten(path: str, rewritten: str) -> None:
    assert rewrite_path(path, "iris_1") == rewritten
    assert is_model_path(path) == (path != rewritten)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (404, b'{"error":"Model iris_1 not found"}', True),
        (404, b'{"error":"Request for unknown model: \'iris_1\' is not found"}', True),
        (400, b'{"error":"Request for unknown model: \'iris_1\' has no available versions"}', True),
        (400, b'{"error":"Model iris_1 is not ready yet."}', True),
        (400, b'{"error":"Model version not ready"}', True),
        (400, b"{\"error\":\"unexpected shape for input 'x' for model 'iris_1'. Expected [3], got [4]\"}", False),
        (404, b'{"error":"Model other_1 not found"}', False),
        (404, b'{"detail":"Not Found"}', False),
        (400, b"not json", False),
        (500, b'{"error":"Model iris_1 not found"}', False),
    ],
)
def test_rest_answers_that_mean_not_loaded(status: int, body: bytes, expected: bool) -> None:
    assert rest_says_not_loaded(status, body, "iris_1") is expected


def test_grpc_answers_that_mean_not_loaded() -> None:
    assert grpc_says_not_loaded("NOT_FOUND", "")
    assert grpc_says_not_loaded("UNKNOWN", "Unexpected <class 'mlserver.errors.ModelNotFound'>: Model iris_1")
    assert not grpc_says_not_loaded("INVALID_ARGUMENT", "Request for unknown input")


def test_causes_come_without_their_stack() -> None:
    sentence = "load failed: version 1 is at UNAVAILABLE state: Internal: ValueError: broken"
    assert cause(f"{sentence}\n\nAt:\n  /a/model.py(1): <module>\n;") == sentence
    assert cause("") == "no reason given"
    assert (index_state("State.READY"), index_state("READY"), index_state("")) == ("READY", "READY", "")
