"""`pipeline inspect` on a real broker, and its grammar."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from mlops.scheduler import scheduler_pb2 as pb
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.cli.inspection import Expression, View, has_request_id, message_of, parse_expression, topics_of
from shared.errors import InvalidInput
from shared.kafka.names import TopicNames
from tests.cli.conftest import Outcome, Run
from tests.cli.kafka import produce
from tests.cli.peers import MemoryScheduler
from tests.peers.broker import Broker

NAMES = TopicNames()
MINE = [("pipeline", b"chain"), ("x-request-id", b"from-a-client")]
KEY = b"0.chain.id1"


def request(*values: int) -> bytes:
    message = ModelInferRequest(id="id1")
    for name in ("A", "B"):
        tensor = message.inputs.add(name=name, datatype="INT32", shape=[len(values)])
        tensor.contents.int_contents.extend(values)
    return message.SerializeToString()


def response(*values: int) -> bytes:
    message = ModelInferResponse(model_name="iris_1")
    message.outputs.add(name="C", datatype="INT32", shape=[len(values)])
    message.raw_output_contents.append(b"".join(value.to_bytes(4, "little") for value in values))
    return message.SerializeToString()


RECORDS = [
    (NAMES.pipeline_inputs("chain"), 0, KEY, request(1), MINE),
    (NAMES.pipeline_inputs("chain"), 1, b"1.chain.id2", request(2), MINE[:1]),
    (NAMES.pipeline_inputs("chain"), 0, b"0.chain.id3", request(3), MINE[:1]),
    (NAMES.pipeline_inputs("chain"), 1, b"\xff\xfe", b"\xffpoison", [("x-odd", b"\xff")]),
    (NAMES.model_inputs("iris"), 0, KEY, request(1), MINE),
    (NAMES.model_inputs("iris"), 0, b"0.other.id9", request(9), [("pipeline", b"other")]),
    (NAMES.model_outputs("iris"), 0, KEY, response(1, 2), MINE),
    (NAMES.model_outputs("iris"), 0, b"0.chain.poison", b"\xffpoison", MINE[:1]),
    (NAMES.pipeline_outputs("chain"), 0, None, b"", MINE[:1]),
    (NAMES.errors, 1, KEY, b"rpc error: bad shape", [*MINE, ("seldon-pipeline-errors", b"iris")]),
]


@pytest.fixture(scope="module")
def address(broker: Broker) -> str:
    address = broker.config.bootstrap_servers
    produce(address, RECORDS)
    return address


@pytest.fixture(autouse=True)
def chain(scheduler: MemoryScheduler) -> None:
    steps = [pb.PipelineStep(name="iris"), pb.PipelineStep(name="silent")]
    scheduler.pipelines["chain"] = pb.PipelineWithState(pipeline=pb.Pipeline(name="chain", version=1, steps=steps))


@pytest.fixture
def inspect(run: Run, address: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("SELDON_KAFKA_BROKER", address)

    def once(*arguments: str) -> Outcome:
        outcome = run("pipeline", "inspect", *arguments)
        assert outcome.status == 0, outcome
        return outcome

    return once


def read(outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
    return {topic["name"].removeprefix("seldon.default."): topic["msgs"] for topic in json.loads(outcome.out)["topics"]}


def test_everything_of_a_pipeline(inspect: Run) -> None:
    outcome = inspect("chain", "--format", "json", "--offset", "10")
    topics = read(outcome)
    assert list(topics) == [
        "model.iris.inputs", "model.iris.outputs", "model.silent.inputs", "model.silent.outputs",
        "pipeline.chain.inputs", "pipeline.chain.outputs", "errors.errors",
    ]  # fmt: skip
    assert topics["model.silent.inputs"] is None
    assert [each["key"] for each in topics["model.iris.inputs"]] == ["0.chain.id1"]
    answered, poisoned = topics["model.iris.outputs"]
    assert answered == {
        "headers": None,
        "key": "0.chain.id1",
        "value": {
            "modelName": "iris_1",
            "outputs": [{"name": "C", "datatype": "INT32", "shape": ["2"], "contents": {"intContents": [1, 2]}}],
        },
    }
    assert set(poisoned["value"]) == {"error", "base64"}
    assert topics["pipeline.chain.outputs"] == [{"headers": None, "key": "", "value": {}}]
    assert topics["errors.errors"][0]["value"] == {"error": "rpc error: bad shape"}
    assert {each["key"] for each in topics["pipeline.chain.inputs"]} == {"0.chain.id1", "1.chain.id2", "0.chain.id3"}
    assert outcome.err == (
        "seldon.default.pipeline.chain.inputs: 1 of its newest records belong to no pipeline: "
        "No pipeline found in headers.\n"
    )


def test_raw_lines(inspect: Run) -> None:
    outcome = inspect("chain.iris.inputs", "--offset", "2", "-v")
    first, line, last = outcome.out.splitlines()
    assert (first, last) == ("Topic: seldon.default.model.iris.inputs", "-" * 16)
    key, value, *headers = line.split("\t")
    assert (key, json.loads(value)["inputs"][0]["name"]) == ("0.chain.id1", "A")
    assert headers == ["pipeline=[chain]", "x-request-id=[from-a-client]"]


def test_the_last_record_of_each_partition(inspect: Run) -> None:
    keys = [each["key"] for each in read(inspect("chain.inputs", "--format", "json"))["pipeline.chain.inputs"]]
    assert sorted(keys) == ["0.chain.id3", "1.chain.id2"]


def test_a_failed_request_among_thousands_of_records_of_others(
    run: Run, broker: Broker, scheduler: MemoryScheduler
) -> None:
    names = (NAMES.model_inputs("busy"), NAMES.model_outputs("busy"), NAMES.errors)
    steps = [pb.PipelineStep(name="busy")]
    scheduler.pipelines["unlucky"] = pb.PipelineWithState(pipeline=pb.Pipeline(name="unlucky", version=1, steps=steps))
    mine, others = [("pipeline", b"unlucky")], [("pipeline", b"other")]
    failed = [*mine, ("seldon-pipeline-errors", b"busy")]
    older = [(topic, number % 2, b"0.other.id", request(1), others) for topic in names for number in range(1000)]
    newer = [(topic, number % 2, b"0.other.id", request(1), others) for topic in names for number in range(300)]
    records = [
        (NAMES.pipeline_inputs("unlucky"), 0, b"0.unlucky.id", request(1), mine),
        (names[0], 0, b"0.unlucky.id", request(1), mine),
        (NAMES.errors, 0, b"0.unlucky.id", b"rpc error: bad shape", failed),
        (NAMES.pipeline_outputs("unlucky"), 0, b"0.unlucky.id", b"rpc error: bad shape", failed),
    ]
    produce(broker.config.bootstrap_servers, [*older, *records, *newer])
    arguments = ("pipeline", "inspect", "unlucky", "--format", "json", "-d", "60")
    outcome = run(*arguments, "--kafka-broker", broker.config.bootstrap_servers)
    assert (outcome.status, outcome.err) == (0, "")
    keys = {topic: [each["key"] for each in found or ()] for topic, found in read(outcome).items()}
    assert keys == {
        "model.busy.inputs": ["0.unlucky.id"],
        "model.busy.outputs": [],
        "pipeline.unlucky.inputs": ["0.unlucky.id"],
        "pipeline.unlucky.outputs": ["0.unlucky.id"],
        "errors.errors": ["0.unlucky.id"],
    }


@pytest.mark.parametrize("wanted", ["0.chain.id1", "id1", "from-a-client"])
def test_one_request(inspect: Run, wanted: str) -> None:
    topics = read(inspect("chain", "--request-id", wanted, "--format", "json"))
    assert {each["key"] for messages in topics.values() for each in messages or []} == {"0.chain.id1"}
    assert len([messages for messages in topics.values() if messages]) == 4


def test_one_tensor_without_its_content(inspect: Run) -> None:
    (message,) = read(inspect("chain.iris.inputs.B", "--offset", "2", "-t", "-v", "--format", "json"))[
        "model.iris.inputs"
    ]
    assert message["value"] == {"id": "id1", "inputs": [{"name": "B", "datatype": "INT32", "shape": ["1"]}]}
    assert message["headers"] == {"pipeline": ["chain"], "x-request-id": ["from-a-client"]}


def test_a_topic_without_records_is_waited_for(inspect: Run) -> None:
    assert read(inspect("chain.silent.outputs", "-d", "1", "--format", "json")) == {"model.silent.outputs": None}


def test_prefix_and_namespace(inspect: Run, home: Path, address: str) -> None:
    path = home / "kafka.json"
    path.write_text(json.dumps({"bootstrap.servers": address, "topicPrefix": "mine"}))
    outcome = inspect("chain.iris", "--kafka-config-path", str(path), "--namespace", "ns", "-d", "1")
    assert [line for line in outcome.out.splitlines() if line.startswith("Topic")] == [
        "Topic: mine.ns.model.iris.inputs",
        "Topic: mine.ns.model.iris.outputs",
    ]


def test_an_active_configuration_names_the_broker(run: Run, home: Path, address: str) -> None:
    path = home / "cli.json"
    path.write_text(json.dumps({"kafka": {"bootstrap": address, "namespace": "ns", "topicPrefix": "mine"}}))
    run("config", "add", "here", str(path))
    run("config", "activate", "here")
    outcome = run("pipeline", "inspect", "chain.iris", "--namespace", "", "-d", "1")
    assert outcome.out.startswith("Topic: mine.ns.model.iris.inputs\n")


def test_an_unknown_step(run: Run) -> None:
    outcome = run("pipeline", "inspect", "chain.other.inputs")
    assert outcome.err == ("Error: Failed to find step with name other in pipeline chain: its steps are iris, silent\n")


def test_kafka_is_away(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = run("pipeline", "inspect", "chain", "--kafka-broker", address)
    error, hint = outcome.err.splitlines()
    assert (outcome.status, outcome.out) == (255, "")
    assert error.startswith(f"Error: Kafka at {address} cannot be read: ")
    assert "--kafka-broker or SELDON_KAFKA_BROKER" in hint


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("p", Expression("p")),
        ("p.inputs", Expression("p", None, "inputs")),
        ("p.outputs.T", Expression("p", None, "outputs", "T")),
        ("p.s", Expression("p", "s")),
        ("p.s.outputs", Expression("p", "s", "outputs")),
        ("p.s.inputs.T", Expression("p", "s", "inputs", "T")),
    ],
)
def test_grammar(text: str, expression: Expression) -> None:
    assert parse_expression(text) == expression


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Bad pipeline specifier"),
        ("p.", "Bad pipeline specifier p."),
        ("p.s.inputs.T.U", "Bad pipeline specifier p.s.inputs.T.U"),
        ("p.s.T", "Need to specify either inputs or outputs for a step"),
    ],
)
def test_what_is_no_expression(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        parse_expression(text)


def test_topics_of_a_tensor() -> None:
    assert topics_of(Expression("p", "s", "outputs", "T"), ["s"], NAMES) == ["seldon.default.model.s.outputs"]


def test_the_client_s_own_id_may_be_anywhere_among_several() -> None:
    headers = [("x-request-id", b"a"), ("x-request-id", b"b")]
    assert has_request_id(b"0.p.k", headers, "b")
    assert not has_request_id(None, headers, "k")


@pytest.mark.parametrize("given", ["0.p.a.theirs.own", "a.theirs.own", "a.theirs", "own"])
def test_a_request_is_found_by_its_key_and_the_ids_in_it(given: str) -> None:
    assert has_request_id(b"0.p.a.theirs.own", [], given)
    assert not has_request_id(b"0.p.a.theirs.own", [], "theirs")
    assert has_request_id(b"0.p.own", [], "own")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b'{"inputs": []}', {"inputs": []}),
        (b"\0\0\0\0\1\0" + request(5), None),
        (b"[1]", {"base64": "WzFd"}),
        (b"\0", {"base64": "AA=="}),
        (b"", {}),
    ],
)
def test_values_of_every_kind(value: bytes, shown: dict[str, Any] | None) -> None:
    view = View(Expression("p"), truncate=True)
    made = message_of(view, "seldon.default.pipeline.p.inputs", b"k", value, []).value
    if shown is None:
        assert [tensor["name"] for tensor in made["inputs"]] == ["A", "B"]
    else:
        assert {name: each for name, each in made.items() if name != "error"} == shown
