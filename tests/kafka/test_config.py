"""kafka.json and variables become arguments of the clients, or a sentence about what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidInput
from shared.kafka.config import DEFAULT_MESSAGE_MAX_BYTES, KafkaConfig, load_config


def _load(folder: Path, content: Any, environment: dict[str, str] | None = None, namespace: str = "") -> KafkaConfig:
    file = folder / "kafka.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return load_config(file, namespace, environment or {})


def test_without_anything() -> None:
    config = load_config(None, "", {})
    assert config.bootstrap_servers == "127.0.0.1:9092"
    assert config.topics.model_inputs("m") == "seldon.default.model.m.inputs"
    assert config.groups.dataflow("u") == "default-seldon-dataflow-u"
    assert (config.partitions, config.replication_factor) == (1, 1)
    assert (config.message_max_bytes, config.fetch_wait_ms) == (DEFAULT_MESSAGE_MAX_BYTES, 500)
    assert (dict(config.connection), dict(config.consumer), dict(config.producer)) == ({}, {}, {})


def test_every_section(tmp_path: Path) -> None:
    content = {
        "bootstrap.servers": "a:1, b:2",
        "consumer": {
            "fetch.wait.max.ms": "5",
            "session.timeout.ms": 6000,
            "auto.offset.reset": "earliest",
            "message.max.bytes": 1000,
            "fetch.max.bytes": "77",
            "max.partition.fetch.bytes": 66,
            "metadata.max.age.ms": 100.0,
            "check.crcs": False,
            "isolation.level": "read_committed",
        },
        "producer": {
            "linger.ms": 0.5,
            "message.max.bytes": "2000",
            "compression.type": "gzip",
            "acks": -1,
            "request.timeout.ms": 9000,
            "batch.size": 32768,
        },
        "streams": {"commit.interval.ms": 10_000},
        "topics": {"numPartitions": "4", "replicationFactor": 3},
        "topicPrefix": "corp",
        "consumerGroupIdPrefix": "team",
        "debug": "broker",
    }
    config = _load(tmp_path, content, namespace="ns")
    assert config.bootstrap_servers == "a:1,b:2"
    assert config.topics.errors == "corp.ns.errors.errors"
    assert config.groups.dataflow("u") == "team-ns-seldon-dataflow-u"
    assert (config.partitions, config.replication_factor) == (4, 3)
    assert (config.message_max_bytes, config.fetch_wait_ms) == (2000, 5)
    assert dict(config.consumer) == {
        "fetch_max_bytes": 77,
        "max_partition_fetch_bytes": 66,
        "metadata_max_age_ms": 100,
        "check_crcs": False,
        "isolation_level": "read_committed",
    }
    assert dict(config.producer) == {
        "linger_ms": 0.5,
        "compression_type": "gzip",
        "acks": "all",
        "request_timeout_ms": 9000,
        "max_batch_size": 32768,
    }


def test_settings_without_effect_are_named_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _load(tmp_path, {"consumer": {"session.timeout.ms": 1}, "streams": {"num.stream.threads": 2}})
    assert capsys.readouterr().out.count("consumer.session.timeout.ms") == 1


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    content = {"bootstrap.servers": "file:1", "topics": {"numPartitions": 2}, "consumer": {"message.max.bytes": 5}}
    variables = {
        "KAFKA_BOOTSTRAP_SERVERS": "variable:2",
        "SELDON_KAFKA_BOOTSTRAP_SERVERS": "other:3",
        "KAFKA_DEFAULT_NUM_PARTITIONS": "7",
        "KAFKA_DEFAULT_REPLICATION_FACTOR": "3",
        "KAFKA_MESSAGE_MAX_BYTES": "1000",
    }
    config = _load(tmp_path, content, variables)
    assert config.bootstrap_servers == "variable:2"
    assert (config.partitions, config.replication_factor, config.message_max_bytes) == (7, 3, 1000)
    del variables["KAFKA_BOOTSTRAP_SERVERS"]
    assert _load(tmp_path, content, variables).bootstrap_servers == "other:3"
    empty = dict.fromkeys(variables, "")
    assert _load(tmp_path, content, empty) == _load(tmp_path, content)
    assert _load(tmp_path, {"producer": {"bootstrap.servers": "[::1]:9092"}}).bootstrap_servers == "[::1]:9092"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"consumers": {}}, "'consumers': use only bootstrap.servers, consumer, producer"),
        ({"topics": {"partitions": 3}}, "'partitions': use only numPartitions, replicationFactor"),
        ({"topics": {"numPartitions": 0}}, "topics.numPartitions 0"),
        ({"topics": {"numPartitions": "many"}}, "topics.numPartitions 'many'"),
        ({"topics": 3}, "topics 3: write a JSON object"),
        ({"consumer": []}, "consumer"),
        ({"consumer": {"fetch.max.bytes": 1.5}}, "consumer.fetch.max.bytes 1.5"),
        ({"consumer": {"fetch.wait.max.ms": True}}, "consumer.fetch.wait.max.ms True"),
        ({"consumer": {"check.crcs": "maybe"}}, "consumer.check.crcs 'maybe'"),
        ({"consumer": {"client.id": 5}}, "consumer.client.id 5"),
        ({"producer": {"acks": 2}}, "producer.acks 2: use one of all, -1, 0, 1"),
        ({"producer": {"compression.type": "rar"}}, "producer.compression.type 'rar'"),
        ({"producer": {"linger.ms": -1}}, "producer.linger.ms -1"),
        ({"producer": {"linger.ms": "nan"}}, "producer.linger.ms 'nan'"),
        ({"topicPrefix": "a b"}, "topicPrefix 'a b'"),
        ({"topicPrefix": 3}, "topicPrefix 3: write text"),
        ({"bootstrap.servers": ["a:1"]}, "bootstrap.servers"),
        ({"bootstrap.servers": "host"}, "bootstrap.servers 'host': write host:port"),
        ({"bootstrap.servers": "PLAINTEXT://host:1"}, "bootstrap.servers"),
        ({"bootstrap.servers": "host:99999"}, "bootstrap.servers"),
        ([], "kafka.json"),
        ("{", "write JSON into it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, named: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        _load(tmp_path, content)
    assert named in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"kafka-config-path .*nothing.json.* cannot be read"):
        load_config(tmp_path / "nothing.json", "", {})


@pytest.mark.parametrize("variable", ["KAFKA_DEFAULT_NUM_PARTITIONS", "KAFKA_MESSAGE_MAX_BYTES"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_a_wrong_variable_is_named(variable: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"{variable} '{value}'"):
        load_config(None, "", {variable: value})


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
_settings = st.dictionaries(st.sampled_from(["linger.ms", "fetch.max.bytes", "acks", "x", "message.max.bytes"]), _json)
_content = st.fixed_dictionaries(
    {}, optional={"consumer": _settings | _json, "producer": _settings, "topics": _json, "bootstrap.servers": _json}
)


@settings(max_examples=50, deadline=None)
@given(content=_content)
def test_any_content_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: Any) -> None:
    folder = tmp_path_factory.mktemp("config")
    try:
        config = _load(folder, content)
    except InvalidInput:
        return
    assert config.message_max_bytes >= 1
