"""One package that any Python takes, with its module and its command and nothing of this project."""

import json
from pathlib import Path

from compose.process.home import REPOSITORY
from tests.simplepipe.environment import LOCK, PROJECT, Environment, Interpreter


def test_installing_it_brings_the_module_the_command_and_what_the_lock_says(
    environment: Environment, tmp_path: Path
) -> None:
    listed = environment.run("python", "-m", "pip", "list", "--format=json", where=tmp_path)
    there = {package["name"].lower().replace("_", "-"): package["version"] for package in json.loads(listed.stdout)}
    locked = dict(line.split(" ")[0].split("==") for line in LOCK.read_text().splitlines() if "==" in line)
    assert there.keys() - {"pip", "setuptools"} == locked.keys() | {"simplepipe"}
    assert environment.run("python", "-m", "pip", "check", where=tmp_path).code == 0
    assert environment.run("simplepipe", "--help", where=tmp_path).code == 0
    assert environment.run("python", "-m", "simplepipe", "--help", where=tmp_path).code == 0


def test_its_names_are_those_of_the_slides(interpreter: Interpreter) -> None:
    exported = interpreter.run("import simplepipe; result = simplepipe.__all__")
    assert {"MetricCollector", "Metric", "load_metrics_from_file", "parse_metrics"} <= set(exported)
    signatures = """
import inspect
methods = ("__init__", "load_and_push", "parse_and_push", "push_to_gateway")
result = {m: [p.name for p in inspect.signature(getattr(MetricCollector, m)).parameters.values()
              if p.kind is not p.KEYWORD_ONLY] for m in methods}
result["Metric"] = sorted(Metric.model_fields)
result["construct"] = list(inspect.signature(Metric.construct_as_prometheus).parameters)
"""
    assert interpreter.run(signatures) == {
        "__init__": ["self", "prometheus_push_gateway_ip"],
        "load_and_push": ["self", "fp", "job_name"],
        "parse_and_push": ["self", "metrics", "job_name"],
        "push_to_gateway": ["self", "metrics", "job_name"],
        "Metric": ["buckets", "description", "labels", "metric_type", "name", "value"],
        "construct": ["self", "registry"],
    }


def test_it_imports_nothing_of_this_project(environment: Environment, tmp_path: Path) -> None:
    code = "import simplepipe, sys; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    seen = environment.run("python", "-c", code, where=tmp_path).stdout
    assert "simplepipe" in seen
    assert not {"services", "shared", "compose"} & set(json.loads(seen.replace("'", '"')))
    assert str(REPOSITORY) not in environment.run(
        "python", "-c", "import sys; print(sys.path[1:])", where=tmp_path
    ).stdout.replace(str(environment.folder), "")


def test_it_is_for_every_python_from_3_9(interpreter: Interpreter) -> None:
    assert (
        interpreter.run("import importlib.metadata as m; result = m.metadata('simplepipe')['Requires-Python']")
        == ">=3.9"
    )
    # Syntax is what the linter checks for that version: its configuration is the project's own.
    assert 'target-version = "py39"' in (PROJECT / "pyproject.toml").read_text()
