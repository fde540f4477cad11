"""Storage URIs and remotes become what rclone reads back as the same."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2

from services.agent.storage.remotes import parse_config
from services.agent.storage.uris import Remote, download_folder, parse_remote, source_of
from shared.errors import InvalidInput

option_names = st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True)
option_values = st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=20)


def config(text: str) -> scheduler_pb2.StorageConfig:
    return scheduler_pb2.StorageConfig(storageRcloneConfig=text)


def read_like_rclone(source: str) -> tuple[str, dict[str, str], str]:
    """rclone's documented grammar of connection strings: `:type,key=value,...:path`, values quoted or not."""
    kind, rest = source[1:].split(",", 1) if "," in source.split(":")[1] else (source.split(":")[1], None)
    if rest is None:
        return kind, {}, source[2 + len(kind) :]
    options = {}
    while True:
        key, rest = rest.split("=", 1)
        value = ""
        if rest[:1] == '"':
            rest = rest[1:]
            while True:
                part, rest = rest.split('"', 1)
                value += part
                if rest[:1] != '"':
                    break
                value, rest = value + '"', rest[1:]
        else:
            end = min(position for position in (rest.find(","), rest.find(":")) if position >= 0)
            value, rest = rest[:end], rest[end:]
        options[key] = value
        separator, rest = rest[0], rest[1:]
        if separator == ":":
            return kind, options, rest


@given(st.dictionaries(option_names, option_values, max_size=4), st.sampled_from([json.dumps, yaml.safe_dump]))
def test_an_inline_remote_keeps_every_option(options: dict[str, str], dump: object) -> None:
    document = dump({"name": "gs", "type": "s3", "parameters": options})  # type: ignore[operator]
    assert read_like_rclone(source_of("gs://bucket/path", config(document))) == ("s3", options, "//bucket/path")


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("/mnt/models/iris", "/mnt/models/iris"),
        ("file:///mnt/models/a%20b", "/mnt/models/a b"),
        ("gs://bucket/iris", "gs://bucket/iris"),
        (" minio:bucket/iris ", "minio:bucket/iris"),
    ],
)
def test_plain_sources(uri: str, source: str) -> None:
    assert source_of(uri, scheduler_pb2.StorageConfig()) == source


@pytest.mark.parametrize("uri", ["web:models/iris", "web://models/iris"])
def test_a_web_server_is_asked_below_its_url(uri: str) -> None:
    assert source_of(uri, scheduler_pb2.StorageConfig(), {"web": "http"}) == "web:models/iris"
    assert source_of("web:///models/iris", scheduler_pb2.StorageConfig(), {"web": "http"}) == "web:/models/iris"
    inline = config('{"name": "web", "type": "http", "parameters": {"url": "http://h"}}')
    assert source_of(uri, inline) == ':http,url="http://h":models/iris'


@pytest.mark.parametrize(
    ("uri", "storage", "words"),
    [
        ("", scheduler_pb2.StorageConfig(), "storageUri"),
        ("models/iris", scheduler_pb2.StorageConfig(), "absolute path"),
        ("file://host/x", scheduler_pb2.StorageConfig(), "file:///absolute/path"),
        ("gs://b", scheduler_pb2.StorageConfig(storageSecretName="s"), "use storageRcloneConfig"),
        ("gs://b", config("{"), "neither JSON nor YAML"),
        ("gs://b", config("just text"), "not a mapping"),
        ("gs://b", config('{"name": "gs", "type": "s3"}'), "'parameters'"),
        ("gs://b", config('{"name": "s3", "type": "s3", "parameters": {}}'), "s3:"),
        ("gs://b", config('{"name": "gs", "type": "s3", "parameters": {"a,b": "1"}}'), "option"),
        ("gs://b", config('{"name": "gs", "type": "-x", "parameters": {}}'), "type"),
    ],
)
def test_mistakes_are_named(uri: str, storage: scheduler_pb2.StorageConfig, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        source_of(uri, storage)


def test_credentials_are_not_repeated_in_errors() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_remote("name: gs\nparameters: {secret: hunter2\n")
    assert "hunter2" not in str(caught.value)


def test_values_of_any_scalar_type() -> None:
    remote = parse_remote("{name: gs, type: google cloud storage, parameters: {anonymous: true, chunk: 8, note: null}}")
    assert remote == Remote("gs", "google cloud storage", {"anonymous": "true", "chunk": "8", "note": ""})


def test_the_agents_file_gives_remotes_and_mistakes() -> None:
    text = """
rclone:
  config_secrets: [a-secret]
  config:
    - '{"type":"google cloud storage","name":"gs","parameters":{"anonymous":true}}'
    - {name: s3, type: s3}
"""
    remotes, problems = parse_config(text, is_yaml=True)
    assert remotes == [Remote("gs", "google cloud storage", {"anonymous": "true"})]
    assert [problem.split(":")[0] for problem in problems] == [
        "rclone.config_secrets names Kubernetes secrets and there is no Kubernetes here",
        "rclone.config[1]",
    ]


def test_download_folders_are_stable_and_differ() -> None:
    assert (
        download_folder("iris_1", "gs://a")
        == download_folder("iris_1", "gs://a")
        != download_folder("iris_2", "gs://a")
    )
    assert download_folder("iris_1", "gs://a").isdecimal()
