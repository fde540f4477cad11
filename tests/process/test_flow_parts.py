"""The broker and the parts that it feeds, as programs."""

import json
import socket
from pathlib import Path

import pytest

from compose.kafka.jars import LIST, read_list
from compose.process import broker, flow_parts, parts, settings
from compose.process.home import Home
from compose.process.program import Program
from compose.process.readiness import look
from shared.errors import InvalidInput
from shared.kafka.config import load_config

# What the environment of the test run may say otherwise.
_USUAL = {"SELDON_PORT_OFFSET": "0", "KAFKA": "tansu", "KAFKA_BOOTSTRAP_SERVERS": "", "COMPOSE_PROFILES": "usage"}


def _programs(folder: Path, **overrides: str) -> dict[str, Program]:
    made = parts.programs(settings.load({**_USUAL, **overrides}), Home.of({}, root=folder), None)
    return {program.name: program for program in made}


def test_each_kind_of_broker(tmp_path: Path) -> None:
    tansu = _programs(tmp_path, KAFKA="tansu")["kafka"]
    apache = _programs(tmp_path, KAFKA="apache")["kafka"]
    assert tansu.command[0].endswith("tansu")
    assert apache.command[0].endswith("java")
    assert len(apache.ports) == len(tansu.ports) + 1
    assert tansu.stops_last
    # It would read this checkout's .env from there.
    assert not any((folder / ".env").exists() for folder in (tansu.directory, *tansu.directory.parents))
    assert "kafka" not in _programs(tmp_path, KAFKA_BOOTSTRAP_SERVERS="elsewhere:9092")
    with pytest.raises(InvalidInput, match="invalid KAFKA 'rabbit'"):
        _programs(tmp_path, KAFKA="rabbit")


@pytest.mark.parametrize(
    ("overrides", "servers", "wait"),
    [
        ({"KAFKA": "tansu", "SELDON_PORT_OFFSET": "7"}, "127.0.0.1:9099", 5),
        ({"KAFKA": "apache"}, "127.0.0.1:9092", 500),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}, "a:1,b:2", 500),
    ],
)
def test_services_understand_the_written_configuration(
    tmp_path: Path, overrides: dict[str, str], servers: str, wait: int
) -> None:
    home = Home.of({}, root=tmp_path)
    home.run.mkdir()
    made = settings.load(
        {**_USUAL, "KAFKA_DEFAULT_NUM_PARTITIONS": "3", "KAFKA_MESSAGE_MAX_BYTES": "5000000", **overrides}
    )
    broker.config_file(home).write_text(broker.config(made))
    access = broker.access(made, home)
    config = load_config(Path(access["KAFKA_CONFIG_PATH"]), "", access)
    assert (config.bootstrap_servers, config.fetch_wait_ms) == (servers, wait)
    assert (config.partitions, config.message_max_bytes) == (3, 5_000_000)


def test_apache_kafka_listens_where_the_settings_say(tmp_path: Path) -> None:
    home = Home.of({}, root=tmp_path)
    text = broker.apache(settings.load({"SELDON_PORT_OFFSET": "10", "BIND_HOST": "0.0.0.0"}), home).configuration()
    lines = dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert lines["listeners"] == "PLAINTEXT://0.0.0.0:9102,CONTROLLER://127.0.0.1:9103"
    assert lines["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9102"
    assert lines["log.dirs"] == str(home.data / "kafka")


def test_a_further_replica_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    one = _programs(tmp_path)
    more = _programs(tmp_path, DATAFLOW_REPLICAS="3", PIPELINEGATEWAY_REPLICAS="2")
    assert set(more) - set(one) == {"dataflow-1", "dataflow-2", "pipelinegateway-1"}
    assert {name: more[name] for name in one} == one
    assert more["dataflow-2"].environment["POD_NAME"] == "seldon-dataflow-engine-2"
    assert more["pipelinegateway-1"].ports == tuple(port + 100 for port in one["pipelinegateway"].ports)
    assert more["pipelinegateway-1"].environment["PIPELINEGATEWAY_HTTP_PORT"] == "9110"


def test_the_ports_of_all_replicas_are_different(tmp_path: Path) -> None:
    many = dict.fromkeys(("DATAFLOW_REPLICAS", "MODELGATEWAY_REPLICAS", "PIPELINEGATEWAY_REPLICAS"), "8")
    ports = [port for program in _programs(tmp_path, KAFKA="apache", **many).values() for port in program.ports]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("count", ["0", "9", "two", ""])
def test_a_wrong_number_of_replicas_is_named(count: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="MODELGATEWAY_REPLICAS"):
        flow_parts.programs(settings.load({"MODELGATEWAY_REPLICAS": count}), Home.of({}, root=tmp_path))


def test_a_changed_configuration_restarts_who_reads_it(tmp_path: Path) -> None:
    file = broker.config_file(Home.of({}, root=tmp_path))
    file.parent.mkdir()
    file.write_text(json.dumps({"topicPrefix": "a"}))
    before = _programs(tmp_path)
    file.write_text(json.dumps({"topicPrefix": "b"}))
    after = _programs(tmp_path)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"scheduler", "dataflow", "modelgateway", "pipelinegateway"}


def test_a_part_without_http_is_ready_when_it_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        program = Program("kafka", (), Path(), f"tcp://127.0.0.1:{listener.getsockname()[1]}", ())
        assert look(program, lasts=True).ready
    assert not look(program, lasts=True).ready


def test_every_jar_is_pinned() -> None:
    jars = read_list(LIST.read_text())
    assert {len(jar.sha256) for jar in jars} == {64}
    broker_jar = next(jar for jar in jars if jar.artifact == "kafka_2.13")
    assert broker_jar.path == f"org/apache/kafka/kafka_2.13/{broker_jar.version}/{broker_jar.file}"
