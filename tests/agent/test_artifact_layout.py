"""Which folder of an artifact is used, and what its settings become."""

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2

from services.agent.repository.artifact_version import ROOT, Listing, choose_mlserver_folder, choose_triton_folder
from services.agent.repository.mlserver_settings import (
    EnvoyAddress,
    adapt_settings,
    generate_settings,
    parallel_workers,
    parse_settings,
)
from shared.errors import InvalidInput

ENVOY = EnvoyAddress("envoy", 9000)


def test_mlserver_prefers_settings_at_the_top() -> None:
    listing = Listing.of(["model-settings.json", "2/model-settings.json"])
    assert choose_mlserver_folder(listing, None) == choose_mlserver_folder(listing, 2) == ROOT


@given(st.sets(st.integers(0, 50), min_size=1), st.integers(0, 50))
def test_mlserver_takes_the_asked_or_the_highest_version(versions: set[int], asked: int) -> None:
    listing = Listing.of([f"{version}/model-settings.json" for version in versions] + ["99/other.txt"])
    assert choose_mlserver_folder(listing, None) == PurePosixPath(str(max(versions)))
    if asked in versions:
        assert choose_mlserver_folder(listing, asked) == PurePosixPath(str(asked))
    else:
        with pytest.raises(InvalidInput, match="no folder"):
            choose_mlserver_folder(listing, asked)


def test_mlserver_refuses_two_folders_of_one_version() -> None:
    listing = Listing.of(["a/2/model-settings.json", "b/2/model-settings.json"])
    with pytest.raises(InvalidInput, match="2 folders"):
        choose_mlserver_folder(listing, 2)


@given(st.sets(st.integers(0, 50)))
def test_triton_takes_the_highest_version_above_zero(versions: set[int]) -> None:
    listing = Listing.of(["config.pbtxt"], [f"nested/{version}" for version in versions])
    expected = PurePosixPath(f"nested/{max(versions)}") if versions - {0} else ROOT
    assert choose_triton_folder(listing, None) == expected


def test_triton_wants_the_asked_version_at_the_top() -> None:
    listing = Listing.of(["1/model.py", "nested/2/model.py"])
    assert choose_triton_folder(listing, 1) == PurePosixPath("1")
    with pytest.raises(InvalidInput, match="artifactVersion"):
        choose_triton_folder(listing, 2)


@pytest.mark.parametrize(
    ("requirement", "files", "implementation", "uri"),
    [
        ("sklearn", ["b.pkl", "deep/a.joblib"], "mlserver_sklearn.SKLearnModel", "./deep/a.joblib"),
        ("xgboost", ["model.bst"], "mlserver_xgboost.XGBoostModel", "./model.bst"),
        ("lightgbm", ["model.bst"], "mlserver_lightgbm.LightGBMModel", "./model.bst"),
        ("mlflow", ["MLmodel"], "mlserver_mlflow.MLflowRuntime", "./"),
        ("alibi-detect", ["x"], "mlserver_alibi_detect.AlibiDetectRuntime", "./"),
        ("alibi-explain", ["data/x"], "mlserver_alibi_explain.AlibiExplainRuntime", "./data"),
    ],
)
def test_generated_settings(requirement: str, files: list[str], implementation: str, uri: str) -> None:
    settings = generate_settings(["numpy", requirement], Listing.of(files), lambda _: "")
    assert (settings["implementation"], settings["parameters"]["uri"]) == (implementation, uri)


def test_a_python_model_is_found_by_its_class() -> None:
    sources = {"a.py": "class Other: ...", "b.py": "import mlserver\nclass Mine(mlserver.MLModel): ..."}
    settings = generate_settings(["python"], Listing.of(sources), lambda file: sources[str(file)])
    assert settings["implementation"] == "b.Mine"


@pytest.mark.parametrize("requirements", [[], ["huggingface"], ["sklearn"], ["python"], ["alibi-explain"]])
def test_nothing_to_generate_from_is_an_error(requirements: list[str]) -> None:
    with pytest.raises(InvalidInput, match=r"model-settings\.json"):
        generate_settings(requirements, Listing.of(["readme.txt"]), lambda _: "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_fields_of_the_users_file_stay(own: dict[str, object]) -> None:
    own.pop("parameters", None)
    settings = parse_settings(json.dumps({**own, "parameters": {"uri": "./m", "environment_path": "x"}}))
    adapted = adapt_settings(settings, "iris_1", scheduler_pb2.ModelSpec(), ENVOY)
    expected = {"uri": "./m", "environment_path": "x", "version": "1"}
    assert adapted == {**own, "name": "iris_1", "parameters": expected}


def test_an_explainer_knows_whom_to_call() -> None:
    explainer = scheduler_pb2.ExplainerSpec(type="anchor_tabular", pipelineRef="income")
    parameters = [scheduler_pb2.ParameterSpec(name="threshold", value="0.9")]
    spec = scheduler_pb2.ModelSpec(explainer=explainer, parameters=parameters)
    adapted = adapt_settings({"implementation": "x"}, "e_1", spec, EnvoyAddress("envoy", 9000, tls=True))
    assert adapted["parallel_workers"] == 0
    assert adapted["parameters"]["extra"] == {
        "infer_uri": "https://envoy:9000/v2/pipelines/income/infer",
        "explainer_type": "anchor_tabular",
        "ssl_verify_path": "/mnt/certs/ca.crt",
        "threshold": "0.9",
    }
    with pytest.raises(InvalidInput, match="neither modelRef nor pipelineRef"):
        adapt_settings({}, "l_1", scheduler_pb2.ModelSpec(llm=scheduler_pb2.LlmSpec()), ENVOY)
    explainer.modelRef = "income"
    with pytest.raises(InvalidInput, match="both modelRef and pipelineRef"):
        adapt_settings({}, "e_1", scheduler_pb2.ModelSpec(explainer=explainer), ENVOY)


@pytest.mark.parametrize("text", ["{", "[]", '{"parameters": 3}'])
def test_wrong_settings_files_are_named(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"model-settings\.json"):
        parse_settings(text)


def test_parallel_workers_from_the_variable() -> None:
    assert [parallel_workers(text) for text in ("4", " 2 ", "0", "", "many", "-1")] == [4, 2, 1, 1, 1, 1]
