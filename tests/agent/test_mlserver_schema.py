"""Settings that MLServer refuses are refused with their field, and no others are: MLServer itself is asked too."""

import json
import subprocess
from typing import Any

import pytest

from services.agent.repository.mlserver_schema import check_settings
from shared.errors import InvalidInput
from tests.agent.artifacts import definition, mlserver_double
from tests.agent.conftest import MakeAgent, SchedulerPeer, Server

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
ACCEPTED: list[dict[str, Any]] = [
    {},
    {"name": "n", "platform": "", "versions": ["sklearn/1.0"], "inputs": [TENSOR], "outputs": [TENSOR]},
    {"max_batch_size": "8", "max_batch_time": 1, "warm_workers": "true", "cache_enabled": 1, "parallel_workers": None},
    {"parameters": None, "of_tomorrow": [1]},
    {"parameters": {"uri": "./m", "extra": None, "of_a_runtime": 3, "environment_path": "/env"}},
    {"inputs": [{**TENSOR, "shape": ["3", 2.0], "parameters": {"content_type": "np", "required": True}}]},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"inputs": [{**TENSOR, "shape": 1}]}, "inputs.0.shape 1: input should be a valid list"),
    ({"inputs": [TENSOR, {**TENSOR, "shape": [1, "a"]}]}, "inputs.1.shape.1 'a': input should be a valid integer"),
    ({"outputs": [{**TENSOR, "datatype": "float"}]}, "outputs.0.datatype 'float': input should be 'BOOL'"),
    ({"inputs": [{"name": "x", "shape": [1]}]}, "inputs.0.datatype is missing"),
    ({"inputs": {"x": TENSOR}}, "inputs {'x': "),
    ({"inputs": None}, "inputs None: input should be a valid list"),
    ({"versions": "1.0"}, "versions '1.0': input should be a valid list"),
    ({"name": 3}, "name 3: input should be a valid string"),
    ({"max_batch_size": "many"}, "max_batch_size 'many': input should be a valid integer"),
    ({"max_batch_time": []}, "max_batch_time []: input should be a valid number"),
    ({"parameters": {"uri": ["./m"]}}, "parameters.uri ['./m']: input should be a valid string"),
    ({"parameters": {"extra": "a=b"}}, "parameters.extra 'a=b': input should be a valid dictionary"),
    ({"parameters": {"content_type": 1}}, "parameters.content_type 1: input should be a valid string"),
    ({"implementation": None}, "implementation None: input should be a valid string"),
]
_ASK = """
import json, sys
from mlserver.settings import ModelSettings
for settings in json.load(sys.stdin):
    try:
        ModelSettings.model_validate(settings)
    except ValueError:
        print("refused")
    else:
        print("accepted")
"""


def settings(fields: dict[str, Any]) -> dict[str, Any]:
    return {"implementation": "double.Double", **fields}


@pytest.mark.parametrize("fields", ACCEPTED)
def test_what_mlserver_takes_passes(fields: dict[str, Any]) -> None:
    check_settings(settings(fields))


@pytest.mark.parametrize(("fields", "words"), REFUSED)
def test_what_mlserver_refuses_is_named(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_settings(settings(fields))
    assert str(refused.value).startswith(f"MLServer would refuse model-settings.json: {words}")


def test_a_missing_implementation_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"model-settings\.json: implementation is missing$"):
        check_settings({})


def test_many_mistakes_are_counted() -> None:
    with pytest.raises(InvalidInput, match=r"; and 2 more$"):
        check_settings(settings({"name": 1, "platform": 2, "versions": 3, "inputs": 4, "outputs": 5}))


def test_mlserver_itself_judges_the_same(mlserver: Server) -> None:
    asked = [settings(fields) for fields in [*ACCEPTED, *(fields for fields, _ in REFUSED)]]
    python = mlserver.command[0].replace("bin/mlserver", "bin/python")
    answers = subprocess.run(
        [python, "-W", "ignore", "-c", _ASK], input=json.dumps(asked), capture_output=True, text=True, check=True
    ).stdout.split()
    assert answers == ["accepted"] * len(ACCEPTED) + ["refused"] * len(REFUSED)


async def test_a_refused_file_gives_its_field_as_the_reason(
    mlserver: Server, scheduler: SchedulerPeer, make_agent: MakeAgent, tmp_path: Any
) -> None:
    await make_agent(mlserver).start()
    folder = mlserver_double(tmp_path / "double")
    tensor = {"name": "descr", "datatype": "BYTES", "shape": 1, "parameters": {"content_type": "str", "required": True}}
    written = {
        "name": "txn",
        "implementation": "double.Double",
        "parameters": {"version": "v0.1.0"},
        "inputs": [tensor],
    }
    (folder / "model-settings.json").write_text(json.dumps(written))
    await scheduler.load(definition("txn", str(folder)))
    event = await scheduler.event()
    assert event.event == type(event).LOAD_FAILED
    assert "model-settings.json: inputs.0.shape 1: input should be a valid list" in event.message
