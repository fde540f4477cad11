"""The sample pipelines are right (or wrong on purpose), and the models they name are there."""

import json
import re
from pathlib import Path

import pytest
from mlops.scheduler.scheduler_pb2 import Model, Pipeline

from compose.process.home import REPOSITORY
from services.scheduler.core.pipelines.cycles import check_across
from services.scheduler.core.pipelines.definition import normalise, validate
from shared.errors import InvalidInput, RejectedRequest
from shared.manifests.reader import read_resources

SAMPLES = REPOSITORY / "samples"
PIPELINES = SAMPLES / "pipelines"
ERRORS = {
    "error-bad-spec": 'json: unknown field "input" at spec.steps[1].input in document 1: did you mean "inputs"?',
    "error-step-name": "pipeline iris must not have a step name with the same name as pipeline name",
    "error-empty-input": "pipeline error-empty-input step tfsimple2 has an empty input",
    "error-empty-trigger": "pipeline error-empty-trigger step tfsimple2 has an empty trigger",
}
NAMES = {
    "iris": "iris-pipeline",
    "add10": "pipeline-add10",
    "mul10": "pipeline-mul10",
    "tfsimples-join": "join",
    "tfsimples-join-outlier": "joincheck",
    "conditional": "tfsimple-conditional",
    "triggers_join_inputs": "triggers-join-inputs",
    "triggers_join_internal": "triggers-join-internal",
    "income": "income-production",
    "income-v1": "income-prod",
    "income-v2": "income-prod",
    "income-v3": "income-prod",
    "version-test-a": "version-test",
    "version-test-b": "version-test",
}
GOOD = sorted(file for file in PIPELINES.glob("*.yaml") if file.stem not in ERRORS)


def read(file: Path) -> Pipeline:
    (resource,) = read_resources(file.read_text())
    assert isinstance(resource.message, Pipeline)
    return normalise(resource.message)


def sample_models() -> set[str]:
    names = set()
    for file in (SAMPLES / "models").glob("*.yaml"):
        if not file.stem.startswith("error-"):
            (resource,) = read_resources(file.read_text())
            assert isinstance(resource.message, Model)
            names.add(resource.name)
    return names


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_manifest(file: Path) -> None:
    pipeline = read(file)
    validate(pipeline)
    assert pipeline.name == NAMES.get(file.stem, file.stem)
    assert {step.name for step in pipeline.steps} <= sample_models()


def test_no_pipeline_feeds_itself() -> None:
    pipelines = {pipeline.name: pipeline for pipeline in map(read, GOOD)}
    for pipeline in pipelines.values():
        check_across(pipelines, pipeline)
    fed_by = {text.split(".")[0] for pipeline in pipelines.values() for text in pipeline.input.externalInputs}
    assert fed_by <= set(pipelines)


@pytest.mark.parametrize("name", ERRORS)
def test_wrong_on_purpose(name: str) -> None:
    with pytest.raises((InvalidInput, RejectedRequest), match=re.escape(ERRORS[name])):
        validate(read(PIPELINES / f"{name}.yaml"))


@pytest.mark.parametrize("file", sorted((SAMPLES / "requests").glob("*.json")), ids=lambda file: file.stem)
def test_request(file: Path) -> None:
    for tensor in json.loads(file.read_text())["inputs"]:
        elements = 1
        for size in tensor["shape"]:
            elements *= size
        assert len(tensor["data"]) == elements


def test_the_table_of_samples_names_every_file() -> None:
    table = (SAMPLES / "README.md").read_text()
    named = set(re.findall(r"\[([\w-]+)\]\(pipelines/([\w-]+)\.yaml\)", table))
    assert named == {(file.stem, file.stem) for file in PIPELINES.glob("*.yaml")}
    requests = set(re.findall(r"\(requests/([\w-]+)\.json\)", table))
    assert requests == {file.stem for file in (SAMPLES / "requests").glob("*.json")}
