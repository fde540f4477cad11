"""Manifests: what every field becomes, and the sentence for every fault."""

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from shared.errors import InvalidInput
from shared.manifests import read_resources

HEAD = "apiVersion: mlops.seldon.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\nspec:\n"


def manifest(kind: str, spec: dict[str, Any], **metadata: Any) -> str:
    return json.dumps(
        {
            "apiVersion": "mlops.seldon.io/v1alpha1",
            "kind": kind,
            "metadata": {"name": "iris", **metadata},
            "spec": spec,
        }
    )


def only(text: str) -> dict[str, Any]:
    (resource,) = read_resources(text)
    return MessageToDict(resource.message)


def fault(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        list(read_resources(text))
    return str(caught.value)


def test_a_bare_model_gets_the_defaults() -> None:
    assert only(manifest("Model", {"storageUri": "gs://bucket/iris"})) == {
        "meta": {"name": "iris", "kubernetesMeta": {}},
        "modelSpec": {"uri": "gs://bucket/iris"},
        "deploymentSpec": {"replicas": 1, "maxReplicas": 4294967295},
    }


def test_every_field_of_a_model_arrives() -> None:
    spec = {
        "storageUri": "s3://models/iris",
        "artifactVersion": 3,
        "modelType": "sklearn",
        "requirements": ["mlserver", "extra"],
        "memory": "100Ki",
        "replicas": 2,
        "minReplicas": 1,
        "maxReplicas": 4,
        "server": "mlserver",
        "secretName": "minio",
        "parameters": [{"name": "query", "value": "a == 1"}],
        "explainer": {"type": "anchor_tabular", "modelRef": "income"},
        "logger": {"percent": 50},
        "dataflow": {"cleanTopicsOnDelete": True},
        "schemaUri": "unused",
        "preloaded": True,
        "dedicated": True,
    }
    assert only(manifest("Model", spec, namespace="mesh", generation=7, labels={"a": "b"})) == {
        "meta": {"name": "iris", "kubernetesMeta": {"namespace": "mesh", "generation": "7"}},
        "modelSpec": {
            "uri": "s3://models/iris",
            "artifactVersion": 3,
            "requirements": ["mlserver", "extra", "sklearn"],
            "memoryBytes": "102400",
            "server": "mlserver",
            "storageConfig": {"storageSecretName": "minio"},
            "parameters": [{"name": "query", "value": "a == 1"}],
            "explainer": {"type": "anchor_tabular", "modelRef": "income"},
        },
        "deploymentSpec": {"replicas": 2, "minReplicas": 1, "maxReplicas": 4, "logPayloads": True},
        "dataflowSpec": {"cleanTopicsOnDelete": True},
    }


def test_every_field_of_a_pipeline_arrives() -> None:
    spec = {
        "steps": [
            {
                "name": "mul10",
                "inputs": ["add10.outputs.OUTPUT"],
                "triggers": ["check"],
                "inputsJoinType": "any",
                "triggersJoinType": "outer",
                "joinWindowMs": 10,
                "tensorMap": {"add10.outputs.OUTPUT": "INPUT"},
                "batch": {"size": 2, "windowMs": 5, "rolling": True},
            }
        ],
        "output": {"steps": ["mul10"], "stepsJoin": "any", "joinWindowMs": 3, "tensorMap": {"mul10.outputs.O": "P"}},
        "input": {
            "externalInputs": ["other.outputs"],
            "externalTriggers": ["third.inputs"],
            "joinType": "outer",
            "triggersJoinType": "any",
            "joinWindowMs": 4,
            "tensorMap": {"other.outputs.O": "I"},
        },
        "dataflow": {"cleanTopicsOnDelete": True},
        "allowCycles": True,
        "maxStepRevisits": 9,
    }
    assert only(manifest("Pipeline", spec)) == {
        "name": "iris",
        "steps": [
            {
                "name": "mul10",
                "inputs": ["add10.outputs.OUTPUT"],
                "triggers": ["check"],
                "inputsJoin": "ANY",
                "triggersJoin": "OUTER",
                "joinWindowMs": 10,
                "tensorMap": {"add10.outputs.OUTPUT": "INPUT"},
                "batch": {"size": 2, "windowMs": 5},
            }
        ],
        "output": {"steps": ["mul10"], "stepsJoin": "ANY", "joinWindowMs": 3, "tensorMap": {"mul10.outputs.O": "P"}},
        "kubernetesMeta": {},
        "input": {
            "externalInputs": ["other.outputs"],
            "externalTriggers": ["third.inputs"],
            "joinType": "OUTER",
            "triggersJoin": "ANY",
            "joinWindowMs": 4,
            "tensorMap": {"other.outputs.O": "I"},
        },
        "dataflowSpec": {"cleanTopicsOnDelete": True},
        "allowCycles": True,
        "maxStepRevisits": 9,
    }


def test_every_field_of_an_experiment_arrives() -> None:
    spec = {
        "default": "iris",
        "candidates": [{"name": "iris", "weight": 50}, {"name": "iris2", "weight": 50}],
        "mirror": {"name": "iris3", "percent": 100},
        "resourceType": "pipeline",
    }
    assert only(manifest("Experiment", spec)) == {"name": "iris", "kubernetesMeta": {}, **spec} | {
        "resourceType": "PIPELINE"
    }


@pytest.mark.parametrize(
    ("spec", "replicas", "low", "high"),
    [
        ({}, 1, 0, 4294967295),
        ({"replicas": 0}, 0, 0, 4294967295),
        ({"minReplicas": 2}, 2, 2, 4294967295),
        ({"minReplicas": 2, "replicas": 3, "maxReplicas": 3}, 3, 2, 3),
        ({"maxReplicas": 0, "replicas": 5}, 5, 0, 4294967295),
        ({"replicas": None}, 1, 0, 4294967295),
    ],
)
def test_replicas(spec: dict[str, Any], replicas: int, low: int, high: int) -> None:
    deployment = only(manifest("Model", spec))["deploymentSpec"]
    assert (deployment.get("replicas", 0), deployment.get("minReplicas", 0), deployment["maxReplicas"]) == (
        replicas,
        low,
        high,
    )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"storagUri": "x"}, 'json: unknown field "storagUri" at spec.storagUri in document 1: did you mean'),
        ({"parameters": [{"nme": "x"}]}, 'json: unknown field "nme" at spec.parameters[0].nme in document 1'),
        ({"qqq": 1}, "known fields: storageUri"),
        ({"memory": "0.5"}, "document 1: spec.memory: Can't convert model memory quantity to bytes. 0.5"),
        ({"memory": "1.5Gi"}, "Can't convert model memory quantity to bytes. 1.5Gi"),
        ({"memory": True}, "spec.memory: must be a quantity"),
        ({"memory": "lots"}, "quantities must match the regular expression"),
        ({"replicas": 1, "minReplicas": 2}, "scaling spec is invalid: replicas 1 is less than minReplicas 2"),
        ({"replicas": 3, "maxReplicas": 2}, "scaling spec is invalid: replicas 3 is more than maxReplicas 2"),
        ({"minReplicas": 3, "maxReplicas": 2}, "scaling spec is invalid: minReplicas 3 is more than maxReplicas 2"),
        ({"maxReplicas": 0, "replicas": -1}, "spec.replicas: "),
        ({"artifactVersion": 2**32}, "spec.artifactVersion: "),
        ({"storageUri": 5}, "spec.storageUri: "),
        ({"requirements": "sklearn"}, "spec.requirements: "),
        ({"server": "a", "SERVER": "b"}, 'field "server" is given twice'),
        ({"explainer": {"modelRef": "a"}, "llm": {"modelRef": "b"}}, "explainer and llm cannot be used together"),
        ({"explainer": {"type": "anchor_text"}}, "spec.explainer: needs modelRef or pipelineRef"),
    ],
)
def test_faults_in_a_model(spec: dict[str, Any], sentence: str) -> None:
    assert sentence in fault(manifest("Model", spec))


@pytest.mark.parametrize(
    ("kind", "spec", "sentence"),
    [
        ("Pipeline", {"steps": [{"inputs": []}]}, "spec.steps[0].name: this field is required"),
        ("Pipeline", {"steps": [{"name": "a", "inputsJoinType": "innner"}]}, "spec.steps[0].inputsJoinType: "),
        ("Pipeline", {"steps": [{"name": "a", "input": []}]}, 'unknown field "input" at spec.steps[0].input'),
        ("Experiment", {"candidates": [{"name": "a", "weigth": 1}]}, 'did you mean "weight"?'),
        ("Experiment", {"config": {"stickySessions": True}}, 'unknown field "config" at spec.config'),
        (
            "Model",
            {"storageUri": "/m", "explainer": {"type": "x", "modelRef": "a", "pipelineRef": "b"}},
            "spec.explainer: has modelRef and pipelineRef",
        ),
        ("Server", {}, "Unknown Seldon Kind Server - only Model, Pipeline and Experiment allowed"),
    ],
)
def test_faults_in_other_kinds(kind: str, spec: dict[str, Any], sentence: str) -> None:
    assert sentence in fault(manifest(kind, spec))


def test_a_list_entry_with_nothing_in_it_is_an_empty_name() -> None:
    """Whether that is an error, and in which words, is the scheduler's business."""
    steps = "  steps:\n  - name: a\n    inputs:\n    -\n    triggers:\n    - b\n    -\n"
    (step,) = only(HEAD.format(kind="Pipeline", name="p") + steps)["steps"]
    assert (step["inputs"], step["triggers"]) == ([""], ["b", ""])
    described = only(manifest("Pipeline", {"steps": [{"name": "a"}], "output": {"steps": [None]}}))
    assert described["output"]["steps"] == [""]
    described = only(manifest("Model", {"storageUri": "/m", "requirements": [None, "a"]}))
    assert described["modelSpec"]["requirements"] == ["", "a"]
    assert "spec.steps[0].inputs[0]: Input should be a valid string, got 3" in fault(
        manifest("Pipeline", {"steps": [{"name": "a", "inputs": [3]}]})
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no document found"),
        ("---\n---\n", "no document found"),
        ("just text", "document 1: must be a mapping"),
        ("apiVersion: mlops.seldon.io/v1alpha1\nmetadata: {name: a}\nspec: {}", "document 1: kind: this field is"),
        ("kind: [Model]", "Unknown Seldon Kind ['Model']"),
        ("kind: Model\nmetadata: {name: a}\nspec: {}", "document 1: apiVersion: this field is required"),
        ("apiVersion: v1\nkind: Model\nmetadata: {name: a}\nspec: {}", "document 1: apiVersion: "),
        ("apiVersion: mlops.seldon.io/v1alpha1\nkind: Model\nspec: {}", "document 1: metadata: this field is required"),
        (HEAD.format(kind="Model", name="").rstrip() + " {}", "document 1: metadata.name: this field is required"),
        ("apiVersion: mlops.seldon.io/v1alpha1\nkind: Model\nmetadata: {name: a}", "document 1: spec: this field is"),
        ("a: [", "document 1 is no YAML"),
        ("a: 1\na: 2", 'field "a" is given twice'),
        ('{"kind": "Model", "kind": "Model"}', 'field "kind" is given twice'),
        (manifest("Model", {}) + "{", "document 2 is no JSON"),
    ],
)
def test_faults_in_the_frame(text: str, sentence: str) -> None:
    assert sentence in fault(text)


def test_keys_ignore_letter_case_and_dates_stay_text() -> None:
    text = HEAD.format(kind="Model", name="iris") + "  STORAGEURI: 2024-01-01\n  ModelType: sklearn\n"
    assert only(text)["modelSpec"] == {"uri": "2024-01-01", "requirements": ["sklearn"]}


@pytest.mark.parametrize("separator", ["\n---\n", "\n", "", "\n---\n---\n"])
def test_json_documents_follow_each_other(separator: str) -> None:
    text = separator.join([manifest("Model", {}), manifest("Pipeline", {}), manifest("Experiment", {})])
    assert [each.kind for each in read_resources(text)] == ["Model", "Pipeline", "Experiment"]


def test_documents_before_a_broken_one_are_delivered_first() -> None:
    resources = read_resources(manifest("Model", {}) + "\n---\n" + manifest("Model", {"x": 1}))
    assert next(resources).name == "iris"
    with pytest.raises(InvalidInput, match="in document 2"):
        next(resources)
