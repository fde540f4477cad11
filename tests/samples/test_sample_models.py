"""The sample manifests are right (or wrong on purpose), and what they name is built and works."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from mlops.scheduler.scheduler_pb2 import Model

from compose.process.home import REPOSITORY, Home
from shared.errors import InvalidInput
from shared.manifests.reader import read_resources

MODELS = REPOSITORY / "samples" / "models"
WITHOUT_ARTIFACT = {"sklearn-iris-gs-baduri", "error-uri-notexist"}
WRONG_ON_PURPOSE = {"error-bad-spec", "error-no-uri"}
NAMES = {
    "sklearn-iris-gs": "iris",
    "sklearn1": "iris",
    "sklearn2": "iris2",
    "sklearn3": "iris3",
    "iris-v3": "iris",
    "moviesentiment": "sentiment",
    "tfsimple_scaling": "tfsimple",
    "multi-version-1": "math",
    "multi-version-2": "math",
    "choice1": "choice-is-one",
    "choice2": "choice-is-two",
}
PREDICT = """
import joblib, json, sys
import numpy as np
from pathlib import Path
built = Path(sys.argv[1])
def predict(name, rows):
    return joblib.load(built / name / "model.joblib").predict(rows).tolist()
flower = np.array([[1, 2, 3, 4]], dtype=np.float32)
answers = {name: predict(name, flower) for name in ("iris", "iris-v2", "iris-v3")}
answers["sentiment"] = predict("sentiment", ["a superb and moving film", "dull, tedious and weak"])
print(json.dumps(answers))
"""
DETECT = """
import asyncio, json, sys
from importlib import import_module
from pathlib import Path
from mlserver.settings import ModelSettings
from mlserver.types import InferenceRequest
folder, kind = Path(sys.argv[1]), sys.argv[2]
sys.path.insert(0, str(folder))
settings = ModelSettings.parse_file(folder / "model-settings.json")
model = getattr(import_module(kind), kind.capitalize())(settings)
asyncio.run(model.load())
answers = {}
for name in sys.argv[3:]:
    response = asyncio.run(model.predict(InferenceRequest.model_validate_json(Path(name).read_text())))
    answers[Path(name).stem] = response.outputs[0].data.root
print(json.dumps(answers))
"""
REQUESTS = REPOSITORY / "samples" / "requests"


def _run(*arguments: str) -> str:
    """Run the Python that trains the samples, which is MLServer's."""
    command = [str(Home.of(os.environ).python("mlserver")), *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples") / "built"
    assert "sample models built" in _run("-m", "samples.build", str(folder))
    return folder


def _read(file: Path) -> Model:
    (resource,) = read_resources(file.read_text())
    assert isinstance(resource.message, Model)
    return resource.message


@pytest.mark.parametrize(
    "file",
    sorted(file for file in MODELS.glob("*.yaml") if file.stem not in WRONG_ON_PURPOSE),
    ids=lambda file: file.stem,
)
def test_manifest(file: Path, artifacts: Path) -> None:
    model = _read(file)
    assert model.meta.name == NAMES.get(file.stem, model.meta.name)
    assert model.modelSpec.memoryBytes == (1_000_000_000 if file.stem == "greedy" else 102_400)
    _, _, path = model.modelSpec.uri.partition("://")
    assert (artifacts / path).is_dir() is (file.stem not in WITHOUT_ARTIFACT)


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(InvalidInput, match="storagUri"):
        _read(MODELS / "error-bad-spec.yaml")


def test_versions_differ_so_that_loading_one_after_the_other_is_an_update() -> None:
    uris = {_read(MODELS / f"iris-v{version}.yaml").modelSpec.uri for version in (1, 2, 3)}
    assert len(uris) == 3


def test_building_again_changes_nothing(artifacts: Path) -> None:
    before = (artifacts / "iris" / "model.joblib").stat().st_mtime_ns
    assert "up to date" in _run("-m", "samples.build", str(artifacts))
    assert (artifacts / "iris" / "model.joblib").stat().st_mtime_ns == before


def test_trained_models_answer_as_described(artifacts: Path) -> None:
    """Class 2 for the flower of the README; 1 for praise and 0 for blame."""
    answers = json.loads(_run("-c", PREDICT, str(artifacts)))
    assert answers == {"iris": [2], "iris-v2": [2], "iris-v3": [2], "sentiment": [1, 0]}


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("iris-drift", "drift", {"iris-two": [1]}),
        ("income-drift", "drift", {"income": [0], "income-drifted": [1]}),
    ],
)
def test_detectors_answer_as_described(artifacts: Path, name: str, kind: str, expected: dict[str, list[int]]) -> None:
    requests = [str(REQUESTS / f"{each}.json") for each in expected]
    assert json.loads(_run("-c", DETECT, str(artifacts / name), kind, *requests)) == expected


def test_every_triton_model_has_its_code(artifacts: Path) -> None:
    for config in artifacts.glob("*/config.pbtxt"):
        versions = [folder for folder in config.parent.iterdir() if folder.is_dir()]
        assert versions
        assert all((folder / "model.py").is_file() for folder in versions)
