"""The documented tracing configuration, right and wrong."""

import json
from pathlib import Path

import pytest

from services.modelgateway.settings import ModelGatewaySettings
from shared.errors import InvalidInput
from shared.tracing.config import Enabled, parse, read

GOOD = {"disable": False, "otelExporterEndpoint": "otel-collector:4317", "otelExporterProtocol": "grpc", "ratio": "0.5"}


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "tracing.json"
    file.write_text(json.dumps(GOOD))
    assert read(file) == Enabled("otel-collector:4317", 0.5)


def test_the_case_of_keys_does_not_matter() -> None:
    assert parse('{"OTELEXPORTERENDPOINT": "h:1", "Ratio": "1"}', "here") == Enabled("h:1", 1.0)


def test_switched_off_the_other_keys_are_not_looked_at() -> None:
    assert parse('{"disable": true, "otelExporterEndpoint": "", "ratio": "much"}', "here") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"endpoint": "h:1"}, "unknown key 'endpoint' in here"),
        ({"otelExporterEndpoint": ""}, "otelExporterEndpoint of here"),
        ({"otelExporterEndpoint": "http://h:1"}, "host:port"),
        ({"otelExporterEndpoint": "h"}, "host:port"),
        ({"otelExporterEndpoint": "h:70000"}, "host:port"),
        ({"otelExporterEndpoint": 1}, "host:port"),
        ({"ratio": "much"}, "ratio of here"),
        ({"ratio": "1.5"}, "ratio of here"),
        ({"ratio": "nan"}, "ratio of here"),
        ({"ratio": 1}, "as a text"),
        ({"disable": "no"}, "true or false"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse(json.dumps(GOOD | change), "here")


@pytest.mark.parametrize("text", ["", "[]", "{", "1"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="here"):
        parse(text, "here")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"missing\.json"):
        read(tmp_path / "missing.json")


def test_services_find_it_by_flag_or_in_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tracing.json"
    file.write_text(json.dumps(GOOD))
    assert ModelGatewaySettings.load([]).tracing() is None
    assert ModelGatewaySettings.load(["--tracing-config-path", str(file)]).tracing() == Enabled(
        "otel-collector:4317", 0.5
    )
    monkeypatch.setenv("TRACING_CONFIG", json.dumps(GOOD | {"ratio": "1"}))
    assert ModelGatewaySettings.load([]).tracing() == Enabled("otel-collector:4317", 1.0)
