"""A wrong setting ends a service at its start, with a sentence that names the setting, and nothing else."""

import contextlib
import itertools
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.logs.service import run_to_end
from tests.peers.ports import free_port

SETTINGS_CODE = 2


@dataclass(frozen=True, slots=True)
class Service:
    """`host`, `port` and `others` are flags; the latter of ports that are bound before `port`, or that others use."""

    host: str
    port: str
    others: tuple[str, ...] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)
    """Wrong values by variable."""
    kafka: bool = False
    tracing: bool = True


SERVICES = {
    "scheduler": Service(
        host="host",
        port="agent-port",
        others=("health-probe-port", "scheduler-port", "dataflow-port", "envoy-port"),
        wrong={
            "SCHEDULER_SERVER_PORT": "abc",
            "SCHEDULER_HEALTH_PORT": "70000",
            "SCHEDULER_SETTLE_SECONDS": "soon",
            "MAX_SHARD_COUNT_MULTIPLIER": "0",
            "SCHEDULER_LOG_LEVEL": "loud",
        },
        kafka=True,
    ),
    "agent": Service(
        host="agent-host",
        port="debug-grpc-port",
        others=("readiness-port", "metrics-port", "reverse-proxy-http-port", "reverse-proxy-grpc-port"),
        wrong={
            "SELDON_METRICS_PORT": "",
            "SELDON_SERVER_TYPE": "other",
            "MEMORY_REQUEST": "-1",
            "SELDON_COLD_WAIT_SECONDS": "long",
            "SELDON_LOG_LEVEL": "loud",
        },
    ),
    "modelgateway": Service(
        host="host",
        port="health-probe-port",
        wrong={"SELDON_SCHEDULER_PORT": "0", "MODELGATEWAY_NUM_WORKERS": "many", "SELDON_LOG_LEVEL": "loud"},
        kafka=True,
    ),
    "pipelinegateway": Service(
        host="host",
        port="grpc-port",
        others=("http-port", "metrics-port"),
        wrong={"PIPELINEGATEWAY_HTTP_PORT": "-1", "PIPELINEGATEWAY_TIMEOUT_MS": "1.5", "SELDON_LOG_LEVEL": "loud"},
        kafka=True,
    ),
    "dataflow": Service(
        host="host",
        port="health-server-port",
        wrong={
            "SELDON_UPSTREAM_PORT": "abc",
            "SELDON_KAFKA_JOIN_WINDOW_MILLIS": "0",
            "DATAFLOW_MAX_IN_FLIGHT": "0",
            "DATAFLOW_MAX_IN_FLIGHT_BYTES": "much",
            "DATAFLOW_LOG_LEVEL": "loud",
            "SELDON_LOG_LEVEL_KAFKA": "loud",
        },
        kafka=True,
    ),
    "hodometer_receiver": Service(
        host="listen-host",
        port="listen-port",
        wrong={"LISTEN_PORT": "abc", "RECORD_LEVEL": "some", "LOG_LEVEL": "loud"},
        tracing=False,
    ),
}
WITH_KAFKA = sorted(name for name, service in SERVICES.items() if service.kafka)
TRACED = sorted(name for name, service in SERVICES.items() if service.tracing)
EACH_CASE_ONCE = [("agent", "unknown key"), ("agent", "empty endpoint")]
WRONG_TRACING = {
    "unknown key": ('{"otelEndpoint": "a:1"}', "otelEndpoint"),
    "empty endpoint": ('{"otelExporterEndpoint": "", "ratio": "1"}', "otelExporterEndpoint"),
    "bad ratio": ('{"otelExporterEndpoint": "a:1", "ratio": "half"}', "ratio"),
}


@contextlib.contextmanager
def _taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


def _start(name: str, folder: Path, flags: Mapping[str, object], variables: Mapping[str, str]) -> tuple[int, list[str]]:
    """The exit code, and the lines on stderr."""
    service = SERVICES[name]
    given = {service.host: "127.0.0.1", **{port: free_port() for port in (*service.others, service.port)}, **flags}
    if name == "agent":
        given |= {"agent-folder": folder / "agent", "config-path": folder}
    if name == "scheduler":
        given |= {"db-path": folder}
    ended = run_to_end(name, [f"--{flag}={value}" for flag, value in given.items()], variables, folder)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.code, ended.stderr.splitlines()


def _reason(lines: list[str]) -> str:
    """The sentence of a service that ended after its settings were read."""
    last = [json.loads(line) for line in lines][-1]
    assert (last["level"], last["component"], last["event"]) == ("critical", "process", "ended")
    reason: str = last["reason"]
    return reason


@pytest.mark.parametrize("name", SERVICES)
def test_each_wrong_variable_has_its_sentence(name: str, tmp_path: Path) -> None:
    wrong = SERVICES[name].wrong
    ended = run_to_end(name, [], wrong, tmp_path)
    assert ended.code == SETTINGS_CODE
    lines = ended.stderr.splitlines()
    assert len(lines) == len(wrong), ended.stderr
    for variable, value in wrong.items():
        (line,) = [line for line in lines if line.startswith(f"setting {variable}: ")]
        assert repr(value).lower() in line.lower()


@pytest.mark.parametrize("flag", ["--num-workers=0", "--health-probe-port=x"])
def test_a_wrong_flag_is_named_as_it_was_written(flag: str, tmp_path: Path) -> None:
    ended = run_to_end("modelgateway", [flag], {"MODELGATEWAY_NUM_WORKERS": "5"}, tmp_path)
    assert ended.code == SETTINGS_CODE
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"setting {flag.partition('=')[0]}: ")


def test_a_flag_that_does_not_exist(tmp_path: Path) -> None:
    ended = run_to_end("modelgateway", ["--workers=5"], {}, tmp_path)
    assert ended.code == SETTINGS_CODE
    assert "--workers=5" in ended.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_that_is_taken(name: str, tmp_path: Path) -> None:
    with _taken() as port:
        code, lines = _start(name, tmp_path, {SERVICES[name].port: port}, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert code == 1
    assert _reason(lines).startswith(f"cannot listen on 127.0.0.1:{port} (Address already in use): ")


@pytest.mark.parametrize("name", WITH_KAFKA)
def test_a_wrong_kafka_setting(name: str, tmp_path: Path) -> None:
    code, lines = _start(name, tmp_path, {}, {"KAFKA_SECURITY_PROTOCOL": "TLS"})
    assert code == 1
    assert _reason(lines).startswith("invalid KAFKA_SECURITY_PROTOCOL 'TLS': use one of ")


@pytest.mark.parametrize(("name", "case"), [*itertools.product(TRACED, ["bad ratio"]), *EACH_CASE_ONCE])
def test_a_wrong_tracing_file(name: str, case: str, tmp_path: Path) -> None:
    content, key = WRONG_TRACING[case]
    path = tmp_path / "tracing.json"
    path.write_text(content)
    flags = {"tracing-config-path": path}
    code, lines = _start(name, tmp_path, flags, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})
    assert code == 1
    reason = _reason(lines)
    assert key in reason
    assert str(path) in reason


def test_each_wrong_variable_of_the_collector_has_its_line(tmp_path: Path) -> None:
    wrong = {"METRICS_LEVEL": "all", "LOG_LEVEL": "loud", "PUBLISH_URL": "ftp://x", "SCHEDULER_TLS_PORT": "x"}
    ended = run_to_end("hodometer", [], wrong, tmp_path)
    assert ended.code == SETTINGS_CODE
    told = [json.loads(line) for line in ended.stderr.splitlines()]
    assert {line["setting"] for line in told} == {*wrong, "SCHEDULER_PLAINTXT_PORT"}
    assert all(line["level"] == "error" and line["fix"] for line in told)
