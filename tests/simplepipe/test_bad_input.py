"""Whatever is wrong is told with field, metric and fix, and nothing of it is pushed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import Interpreter, Raised

GOOD = {"name": "good", "description": "d", "value": 1, "metric_type": "gauge"}
PARSE = "MetricCollector(url).parse_and_push(metrics, job)"
LOAD = "MetricCollector(url).load_and_push(file, job)"


def without(name: str) -> dict[str, Any]:
    return {field: value for field, value in GOOD.items() if field != name}


@pytest.mark.parametrize(
    ("wrong", "field", "said"),
    [
        ({**GOOD, "metric_type": "counter"}, "metric_type", "use one of gauge, summary, histogram, info"),
        ({**GOOD, "metric_type": "Gauge"}, "metric_type", "use one of gauge"),
        ({**GOOD, "metric_type": None}, "metric_type", "use one of gauge"),
        (without("metric_type"), "metric_type", "is missing: add it"),
        (without("value"), "value", "is missing: add it"),
        (without("name"), "name", "is missing: add it"),
        (without("description"), "description", "is missing: add it"),
        ({**GOOD, "name": "1st"}, "name", "no digit first"),
        ({**GOOD, "name": "with space"}, "name", "write letters, digits, underscores"),
        ({**GOOD, "name": "größe"}, "name", "write letters, digits, underscores"),
        ({**GOOD, "name": ""}, "name", "write letters, digits, underscores"),
        ({**GOOD, "name": "good\n"}, "name", "write letters, digits, underscores"),
        ({**GOOD, "name": 7}, "name", "is 7: write text"),
        ({**GOOD, "name": "push_time_seconds"}, "name", "take another name"),
        ({**GOOD, "name": "simplepipe_job_lease_seconds"}, "name", "take another name"),
        ({**GOOD, "description": 7}, "description", "is 7: write text"),
        ({**GOOD, "value": "six"}, "value", "is 'six': write a number"),
        ({**GOOD, "value": "1_000"}, "value", "write a number"),
        ({**GOOD, "value": ""}, "value", "write a number"),
        ({**GOOD, "value": "NaN"}, "value", "write a finite number"),
        ({**GOOD, "value": "inf"}, "value", "write a finite number"),
        ({**GOOD, "value": None}, "value", "is None: write a number"),
        ({**GOOD, "value": True}, "value", "is True: write a number"),
        ({**GOOD, "value": [1]}, "value", "write a number"),
        ({**GOOD, "value": {"a": "b"}}, "value", "write a number"),
        ({**GOOD, "value": 10**400}, "value", "write a number"),
        ({**GOOD, "value": {}, "metric_type": "histogram"}, "value", "write a number"),
        ({**GOOD, "value": 1, "metric_type": "info"}, "value", "write an object of labels"),
        ({**GOOD, "value": {"1st": "b"}, "metric_type": "info"}, "value", "no digit first"),
        ({**GOOD, "value": {"__name__": "b"}, "metric_type": "info"}, "value", "belong to Prometheus"),
        ({**GOOD, "value": {"job": "b"}, "metric_type": "info"}, "value", "take another name"),
        ({**GOOD, "value": {"a": None}, "metric_type": "info"}, "value", "write text"),
        ({**GOOD, "labels": {"with space": "x"}}, "labels", "has label 'with space'"),
        ({**GOOD, "labels": {"job": "x"}}, "labels", "the job's name is given with the push"),
        ({**GOOD, "labels": {"a": ["x"]}}, "labels", "write text"),
        ({**GOOD, "labels": ["a"]}, "labels", "write an object of labels"),
        ({**GOOD, "labels": {"le": "1"}, "metric_type": "histogram"}, "labels", "the type's own"),
        ({**GOOD, "labels": {"quantile": "1"}, "metric_type": "summary"}, "labels", "the type's own"),
        ({**GOOD, "labels": {"v": "1"}, "value": {"v": "2"}, "metric_type": "info"}, "labels", "write it once"),
        ({**GOOD, "buckets": [2, 1], "metric_type": "histogram"}, "buckets", "write numbers that rise"),
        ({**GOOD, "buckets": [1]}, "buckets", "only a histogram has buckets"),
        ("text", "is text:", "write an object"),
        (["list"], "is a list:", "write an object"),
        (None, "is null:", "write an object"),
        (5, "is a number:", "write an object"),
    ],
)  # fmt: skip
def test_one_wrong_metric_of_three(
    interpreter: Interpreter, gateway: Pushgateway, job: str, wrong: Any, field: str, said: str
) -> None:
    metrics = [GOOD, wrong, {**GOOD, "name": "good_too"}]
    with pytest.raises(Raised, match=r"nothing was pushed: metric 2") as raised:
        interpreter.run(PARSE, url=gateway.url, metrics=metrics, job=job)
    assert said in str(raised.value)
    assert raised.value.kinds[0] == "InvalidMetrics"
    assert {"ValueError", "SimplepipeError"} <= set(raised.value.kinds)
    name = wrong.get("name") if isinstance(wrong, dict) else ""
    assert raised.value.problems == [[1, name if isinstance(name, str) else "", field]]
    assert job not in gateway.jobs()


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ([GOOD, GOOD], "metric 2 'good': name is there twice: leave one out, or add labels"),
        ([GOOD, {**GOOD, "metric_type": "summary"}], "metric 2 'good': metric_type is summary, and gauge elsewhere"),
        ([GOOD, {**GOOD, "labels": {"a": "b"}}], "give every good the labels of the first"),
        (
            [{**GOOD, "metric_type": "summary"}, {**GOOD, "name": "good_sum"}],
            "name clashes with good, both show good_sum",
        ),
        ([{**GOOD, "name": "good_count"}, {**GOOD, "metric_type": "histogram"}], "both show good_count"),
        ([{**GOOD, "name": "a_info"}, {**GOOD, "name": "a", "metric_type": "info", "value": {}}], "both show a_info"),
        ([], "the list is empty"),
    ],
)
def test_metrics_that_do_not_go_together(
    interpreter: Interpreter, gateway: Pushgateway, job: str, metrics: list[Any], said: str
) -> None:
    with pytest.raises(Raised) as raised:
        interpreter.run(PARSE, url=gateway.url, metrics=metrics, job=job)
    assert said in str(raised.value)
    assert raised.value.kinds[0] == "InvalidMetrics"
    assert job not in gateway.jobs()


def test_every_problem_is_told_and_of_very_many_the_first(interpreter: Interpreter) -> None:
    two = [{"name": "1st", "description": "d", "value": "x", "metric_type": "gauge"}, without("value")]
    with pytest.raises(Raised) as raised:
        interpreter.run("parse_metrics(metrics)", metrics=two)
    assert raised.value.problems == [[0, "1st", "name"], [0, "1st", "value"], [1, "good", "value"]]
    with pytest.raises(Raised, match="and 9990 more") as raised:
        interpreter.run("parse_metrics(metrics)", metrics=[{**GOOD, "value": "x" * 1000}] * 10_000)
    assert len(raised.value.problems) == 10_000
    assert len(str(raised.value)) < 2_000


@pytest.mark.parametrize("metrics", [GOOD, "text", 5, None, True])
def test_what_is_no_list(interpreter: Interpreter, metrics: object) -> None:
    with pytest.raises(Raised, match=r"metrics are a list, and this is .*: write a JSON list") as raised:
        interpreter.run("parse_metrics(metrics)", metrics=metrics)
    assert "ValueError" in raised.value.kinds


@pytest.mark.parametrize("name", ["metrics.csv", "metrics.yaml", "metrics", "metrics.json.gz"])
def test_a_file_of_another_type(interpreter: Interpreter, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps([GOOD]))
    with pytest.raises(Raised, match=r"^Invalid filetype .*: give a \.json file") as raised:
        interpreter.run("load_metrics_from_file(file)", file=str(tmp_path / name))
    assert raised.value.kinds[0] == "InvalidFile"
    assert "ValueError" in raised.value.kinds


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"[{]", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b'[{"value": NaN}]', "NaN is no number of JSON"),
        (b'[{"value": -Infinity}]', "-Infinity is no number of JSON"),
        (b'[{"name": "a", "name": "b"}]', "'name' is written twice"),
        (b'{"name": "a"}', "this is an object"),
        (b'"text"', "this is text"),
        (b"null", "this is null"),
        (b"[" * 200_000, "is not JSON"),
    ],
)
def test_a_file_with_something_else(
    interpreter: Interpreter, gateway: Pushgateway, tmp_path: Path, job: str, content: bytes, said: str
) -> None:
    file = tmp_path / "metrics.json"
    file.write_bytes(content)
    with pytest.raises(Raised) as raised:
        interpreter.run(LOAD, url=gateway.url, file=str(file), job=job)
    assert said in str(raised.value)
    assert raised.value.kinds[0] == "InvalidFile"
    assert job not in gateway.jobs()


def test_a_file_that_is_not_there(interpreter: Interpreter, tmp_path: Path) -> None:
    for path in (tmp_path / "absent.json", tmp_path):
        path = path if path.suffix else path.with_suffix(".json")
        path.parent.mkdir(exist_ok=True)
        with pytest.raises(Raised, match=r"cannot read .*: No such file") as raised:
            interpreter.run("load_metrics_from_file(file)", file=str(path))
        assert raised.value.kinds[0] == "InvalidFile"


@pytest.mark.parametrize("name", ["", "  ", ".", "..", None, 5, "\ud800"])
def test_a_job_without_a_name_of_its_own(interpreter: Interpreter, name: object) -> None:
    with pytest.raises(Raised, match="invalid job") as raised:
        interpreter.run("MetricCollector('localhost:1').parse_and_push(metrics, job)", metrics=[GOOD], job=name)
    assert raised.value.kinds[0] == "InvalidArgument"


@pytest.mark.parametrize(
    "key", [{"job": "x"}, {"1st": "x"}, {"__a": "x"}, {"simplepipe_run": "x"}, {"a": 5}, {"a": ".."}, {"a": "\ud800"}]
)
def test_a_wrong_grouping_key(interpreter: Interpreter, key: dict[str, object]) -> None:
    with pytest.raises(Raised, match=r"invalid .*grouping key") as raised:
        interpreter.run("MetricCollector('localhost:1', grouping_key=key)", key=key)
    assert raised.value.kinds[0] == "InvalidArgument"


def test_a_label_that_the_group_has_already(interpreter: Interpreter) -> None:
    code = "MetricCollector('localhost:1', grouping_key={'model': 'iris'}).parse_and_push(metrics, 'j')"
    for metric in ({**GOOD, "labels": {"model": "x"}}, {**GOOD, "metric_type": "info", "value": {"model": "x"}}):
        with pytest.raises(Raised, match="'model', which is a grouping key"):
            interpreter.run(code, metrics=[metric])


@pytest.mark.parametrize(
    "address",
    ["", "  ", "ftp://host", "http://", "host:port", "host:99999", "http://a b", "http://user:secret@host", "h?a=b", 5],
)
def test_a_wrong_address(interpreter: Interpreter, address: object) -> None:
    with pytest.raises(Raised, match="invalid address of the Pushgateway") as raised:
        interpreter.run("MetricCollector(address)", address=address)
    assert raised.value.kinds[0] == "InvalidArgument"
    assert "secret" not in str(raised.value)


def test_what_is_not_used_is_ignored(interpreter: Interpreter) -> None:
    """Files that are written for more than one reader stay usable."""
    assert interpreter.run("result = parse_metrics(metrics)[0].name", metrics=[{**GOOD, "owner": "me"}]) == "good"
