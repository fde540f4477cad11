"""What the settings about tracing give each part, and which of them are refused before anything starts."""

from pathlib import Path

import pytest
import yaml

from compose.process import parts, preparation, rendering, settings, tracing
from compose.process.home import REPOSITORY, Home
from compose.process.program import Program
from services.dataflow.settings import DataflowSettings
from shared.errors import InvalidInput
from shared.tracing.config import Enabled, read

ON = {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "TRACING_RATIO": "0.25", "TRACING_DISABLE": "false"}
TRACED = {"scheduler", "agent-mlserver", "agent-triton", "modelgateway", "pipelinegateway"}


def programs(folder: Path, **overrides: str) -> dict[str, Program]:
    """As they are after preparing, as far as tracing is concerned."""
    made, home = settings.load({**ON, **overrides}), Home.of({}, root=folder)
    home.run.mkdir(exist_ok=True)
    found = tracing.config(made)
    if found is not None:
        preparation.write(tracing.config_file(home), tracing.file_content(found))
    return {program.name: program for program in parts.programs(made, home, None)}


def test_every_service_finds_the_written_file(tmp_path: Path) -> None:
    made = programs(tmp_path)
    files = {name: program.environment.get("TRACING_CONFIG_PATH") for name, program in made.items()}
    assert {name for name, file in files.items() if file} == TRACED
    (file,) = {Path(file) for file in files.values() if file}
    assert read(file) == Enabled("collector:4317", 0.25)


def test_the_others_are_told_in_their_own_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = programs(tmp_path)
    assert made["mlserver"].environment["MLSERVER_TRACING_SERVER"] == "collector:4317"
    for name, value in made["dataflow"].environment.items():
        monkeypatch.setenv(name, value)
    engine = DataflowSettings.load([]).tracing()
    assert engine is not None
    assert engine.endpoint == "collector:4317"


@pytest.mark.parametrize("off", [{"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"TRACING_DISABLE": "true"}])
def test_off_leaves_nothing_of_it(tmp_path: Path, off: dict[str, str]) -> None:
    for program in programs(tmp_path, **off).values():
        assert not [name for name in program.environment if "TRACING" in name or "OTEL" in name]
    assert tracing.envoy_values(settings.load({**ON, **off}))["ENVOY_TRACING"] == "null"
    assert not tracing.config_file(Home.of({}, root=tmp_path)).exists()


def test_another_ratio_restarts_what_reads_it(tmp_path: Path) -> None:
    before, after = programs(tmp_path), programs(tmp_path, TRACING_RATIO="1")
    assert {name for name in before if before[name] != after[name]} == TRACED


@pytest.mark.parametrize(
    ("endpoint", "host", "port"), [("collector:4317", "collector", 4317), ("[::1]:5317", "::1", 5317)]
)
def test_envoy_gets_its_block_and_its_cluster(endpoint: str, host: str, port: int) -> None:
    made = settings.load({**ON, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    hosts = dict.fromkeys(("ENVOY_BIND_HOST", "SCHEDULER_XDS_HOST", "V1_GATEWAY_HOST"), "h")
    values = {**made.values, **hosts, "ENVOY_LUA_DIR": "/"}
    template = (REPOSITORY / "compose" / "envoy" / "envoy.yaml").read_text()
    bootstrap = yaml.safe_load(rendering.envoy(template, {**values, **tracing.envoy_values(made)}))
    (cluster,) = [each for each in bootstrap["static_resources"]["clusters"] if each["name"] == "otel_collector"]
    (place,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert place["endpoint"]["address"]["socket_address"] == {"address": host, "port_value": port}
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    block = manager["tracing"]["provider"]["typed_config"]
    assert block["grpc_service"]["envoy_grpc"]["cluster_name"] == cluster["name"]
    share = block["sampler"]["typed_config"]["wrapped_sampler"]["typed_config"]["sampling_percentage"]
    assert (float(share["numerator"]), share["denominator"]) == (250_000, "MILLION")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:70000"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", 'a"b:4317'),
        ("TRACING_RATIO", "all"),
        ("TRACING_RATIO", "1.5"),
        ("TRACING_RATIO", "-1"),
        ("TRACING_RATIO", ""),
        ("TRACING_DISABLE", "no"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_starts(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"invalid {name} "):
        preparation.prepare(settings.load({**ON, name: value}), Home.of({}, root=tmp_path))
    assert not (tmp_path / "run" / "envoy.yaml").exists()
