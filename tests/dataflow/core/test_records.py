"""Records as they come and go: what is kept of them, which are bad, what a restart and other pipelines bring."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from services.dataflow.core.flow import Flow
from services.dataflow.core.topology import Topology
from shared.errors import InvalidInput
from shared.kafka.headers import BATCH, ERROR
from tests.dataflow.core.builders import NAMES, message, partitions, request, response, topology
from tests.dataflow.core.world import World

SAME = {name: (lambda tensors: tensors) for name in "abcde"}
ONE = {"A": [1]}
PAIR: Any = ({"a": {}, "b": {}}, {"steps": ["a", "b"]})
CHAIN: Any = ({"a": {}, "b": {"inputs": ["a"]}}, {"steps": ["b"]})


def world(*args: Any, models: Any = SAME, **kwargs: Any) -> World:
    return World(topology("p", *args), models, **kwargs)


class TestRecords:
    def test_headers_are_those_of_the_record_that_completed_it(self) -> None:
        flow = world(*PAIR).send(ONE, headers=[("x-seldon-alibi-type", b"x"), ("x-mine", b"1")], deadline=1000)
        flow.answer("b")
        flow.answer("a")
        (answer,) = flow.on(flow.shape.output_topic)
        assert answer.headers == [
            ("x-request-id", b"0.p.a"),
            ("x-mine", b"1"),
            ("seldon-deadline-ms", b"1001000"),
            ("x-seldon-route", b":a_1:"),
            ("pipeline", b"p"),
            ("x-pipeline-version", b"1"),
        ]

    def test_partition_and_key_stay(self) -> None:
        flow = world({"a": {}}, {"steps": ["a"]}).send(ONE, key="2.p.x").send(ONE, key="9.p.y").send(ONE, key="odd")
        assert [(record.key, record.partition) for record in flow.log] == [(b"2.p.x", 2), (b"9.p.y", 3), (b"odd", 0)]

    @pytest.mark.parametrize(
        ("steps", "output", "asked"),
        [
            ({"a": {}}, {"steps": ["a"]}, ["B", "C"]),
            ({"a": {}}, None, ["B", "C"]),
            ({"a": {"inputs": ["p.inputs.A"]}}, {"steps": ["a"]}, ["B", "C"]),
            # Its answer is not the model's: what the caller asks for is no output of the model.
            ({"a": {}}, {"steps": ["a.outputs.B"]}, []),
            ({"a": {}, "b": {"inputs": ["a"]}}, {"steps": ["b"]}, []),
            ({"a": {"batch": 1}}, {"steps": ["a"]}, []),
        ],
    )
    def test_an_only_model_is_asked_for_the_requested_outputs(
        self, steps: dict[str, Any], output: Any, asked: list[str]
    ) -> None:
        sent = ModelInferRequest()
        sent.inputs.add(name="A", datatype="INT32", shape=[1])
        sent.raw_input_contents.append(b"\x01\0\0\0")
        for name in ("B", "C"):
            sent.outputs.add(name=name).parameters["p"].int64_param = 1
        flow = world(steps, output)
        flow.put(flow.shape.input_topic, b"0.p.a", sent.SerializeToString())
        got = ModelInferRequest.FromString(flow.on(NAMES.model_inputs("a"))[0].value)
        assert [each.name for each in got.outputs] == asked
        assert all(each.parameters["p"].int64_param == 1 for each in got.outputs)

    def test_id_and_parameters_stay_and_names_go(self) -> None:
        sent = ModelInferRequest(model_name="p", model_version="3", id="mine")
        sent.parameters["threshold"].int64_param = 5
        sent.inputs.add(name="A", datatype="INT32", shape=[1]).parameters["content_type"].string_param = "np"
        sent.raw_input_contents.append(b"\x01\0\0\0")
        sent.outputs.add(name="B")
        flow = world({"a": {}}, {"steps": ["a"]})
        flow.put(flow.shape.input_topic, b"0.p.a", sent.SerializeToString())
        got = ModelInferRequest.FromString(flow.log[0].value)
        expected = ModelInferRequest.FromString(sent.SerializeToString())
        for field in ("model_name", "model_version"):
            expected.ClearField(field)
        assert got == expected
        said = ModelInferResponse(model_name="a_1", id="mine", raw_output_contents=[b"\x02\0\0\0"])
        said.outputs.add(name="C", datatype="INT32", shape=[1])
        flow.put(NAMES.model_outputs("a"), b"0.p.a", said.SerializeToString(), flow.log[0].headers)
        said.ClearField("model_name")
        assert ModelInferResponse.FromString(flow.log[1].value) == said

    def test_framed_values_are_read(self) -> None:
        flow = world({"a": {}}, {"steps": ["a"]})
        flow.put(flow.shape.input_topic, b"0.p.a", b"\0\0\0\0\x07\0" + request(ONE))
        assert flow.inputs_of("a") == [[("A", [1])]]

    def test_raw_and_typed_sides_become_raw(self) -> None:
        flow = world(*PAIR).send({**ONE, "B": [b"text"]})
        first, second = flow.asked
        both = {"A": [5], "B": [b"text"]}
        flow.put(NAMES.model_outputs("a"), first.key, response(both), first.headers)
        flow.put(NAMES.model_outputs("b"), second.key, response(ONE, raw=True), second.headers)
        assert flow.answered == [("A", [5]), ("B", [b"text"]), ("A", [1])]
        assert b"\x05\0\0\0" in flow.on(flow.shape.output_topic)[0].value


GARBAGE = [b"\xff\xff\xff", b"not protobuf at all", b"\x2a\x7fshort", None, b"\x07", b"\x80" * 20]


class TestPoison:
    @pytest.mark.parametrize("value", GARBAGE)
    def test_an_unreadable_input_is_answered_with_an_error(self, value: bytes | None) -> None:
        flow = world(*CHAIN)
        flow.put(flow.shape.input_topic, b"0.p.a", value)
        assert flow.answered.startswith("p : its input is unreadable: ")
        assert flow.problems == ["unparsable"]
        flow.check_done()

    @pytest.mark.parametrize("value", GARBAGE)
    def test_an_unreadable_answer_is_the_models_failure(self, value: bytes | None) -> None:
        flow = world(*CHAIN).send(ONE)
        flow.put(NAMES.model_outputs("a"), b"0.p.a", value, flow.asked[0].headers)
        assert flow.answered.startswith("a : its answer is unreadable: ")
        assert flow.problems == ["unparsable"]
        flow.check_done()

    def test_raw_contents_have_to_be_as_many_as_tensors(self) -> None:
        flow = world(*CHAIN)
        two = request({"A": [1], "B": [2]}, raw=True)
        flow.put(flow.shape.input_topic, b"0.p.a", two[: two.rindex(b"\x3a")])
        assert flow.answered.endswith("1 raw contents for 2 tensors without contents: send one for each")

    def test_unknown_datatypes_fail_only_where_contents_have_to_change(self) -> None:
        odd = response({"A": [1]}).replace(b"INT32", b"INT33")
        flow = world(*PAIR).send(ONE)
        headers = flow.asked[0].headers
        flow.put(NAMES.model_outputs("a"), b"0.p.a", odd, headers)
        flow.put(NAMES.model_outputs("b"), b"0.p.a", response(ONE, raw=True), headers)
        assert flow.answered.startswith("p : the output cannot use what it got: invalid datatype 'INT33'")
        assert flow.problems == ["invalid_tensors"]
        flow.check_done()

    def test_a_broken_tensor_fails_where_it_is_looked_at(self) -> None:
        flow = world({"a": {"inputs": ["p.inputs.A"]}}, {"steps": ["a"]})
        flow.put(flow.shape.input_topic, b"0.p.a", b"\x2a\x02\x0a\x55")
        assert flow.answered.startswith("p : step a cannot use p.inputs: not a protobuf message")

    def test_a_record_without_key_is_passed_over(self) -> None:
        flow = world(*CHAIN)
        flow.put(flow.shape.input_topic, None, request(ONE))
        assert flow.problems == ["no_key"]
        flow.check_done()

    def test_errors_of_nobody_are_passed_over(self) -> None:
        flow = world(*CHAIN).send(ONE)
        flow.put(NAMES.errors, b"0.p.a", b"text", [*flow.asked[0].headers, (ERROR, b"somebody")])
        assert flow.problems == ["unknown_step"]
        assert flow.run().answered == [("A", [1])]

    def test_what_nobody_reads_is_passed_over(self) -> None:
        flow = world(*CHAIN)
        flow.put("elsewhere", b"0.p.a", b"text")
        flow.put(NAMES.model_outputs("a"), b"0.p.a", b"text", [("pipeline", b"another")])
        flow.check_done()
        assert flow.problems == []


class TestRestart:
    def test_records_that_come_before_the_request_wait_for_it(self) -> None:
        flow = world(*CHAIN)
        flow.flow.emitted_before(NAMES.model_inputs("a"), b"0.p.a", [])
        flow.put(NAMES.model_outputs("a"), b"0.p.a", response({"A": [7]}))
        assert flow.log == []
        flow.send(ONE)
        assert flow.inputs_of("b") == [[("A", [7])]]
        assert flow.inputs_of("a") == []

    def test_an_answered_request_is_finished_at_once(self) -> None:
        flow = world(*CHAIN)
        for topic in (NAMES.model_inputs("a"), NAMES.model_inputs("b"), flow.shape.output_topic):
            flow.flow.emitted_before(topic, b"0.p.a", [])
        flow.put(NAMES.model_outputs("b"), b"0.p.a", response(ONE))
        flow.send(ONE)
        assert flow.log == []
        flow.check_done()

    def test_an_answer_shows_that_all_it_needed_was_asked(self) -> None:
        flow = world(*CHAIN)
        flow.flow.emitted_before(flow.shape.output_topic, b"0.p.a", [])
        flow.put(NAMES.model_outputs("b"), b"0.p.a", response(ONE))
        flow.check_done()
        flow.send(ONE)
        assert flow.log == []
        flow.check_done()

    def test_an_error_shows_nothing_of_the_kind(self) -> None:
        flow = world({"a": {}, "b": {}, "c": {"inputs": ["b"]}}, {"steps": ["a", "c"]})
        flow.flow.emitted_before(flow.shape.output_topic, b"0.p.a", [(ERROR, b"a")])
        flow.send(ONE).run()
        assert flow.inputs_of("c") == [[("A", [1])]]
        assert flow.answers() == {}

    def test_leftovers_of_a_finished_request_are_given_up_quietly(self) -> None:
        flow = world(*CHAIN)
        flow.put(NAMES.model_outputs("b"), b"0.p.a", response(ONE))
        assert flow.flow.in_flight == 1
        flow.pass_time(600_000)
        assert flow.log == []
        flow.check_done()


INTAKE: Any = {"inputs": ["other.outputs", "third.outputs"]}


class TestOtherPipelines:
    def both(self, **intake: Any) -> World:
        shape = topology("p", {"a": {}}, {"steps": ["a"]}, intake=INTAKE | intake)
        return World(shape, SAME)

    def put(self, flow: World, owner: str, key: bytes = b"0.o.a", value: bytes | None = None, **headers: bytes) -> None:
        sent = [("pipeline", owner.encode()), *((name.replace("_", "-"), each) for name, each in headers.items())]
        flow.put(NAMES.pipeline_outputs(owner), key, response({"A": [1]}) if value is None else value, sent)

    def test_a_join_over_pipelines_ends_with_its_window(self) -> None:
        flow = self.both()
        self.put(flow, "other")
        flow.pass_time(60_000)
        assert flow.log == []
        flow.check_done()

    def test_errors_of_others_are_not_forwarded(self) -> None:
        flow = self.both()
        self.put(flow, "other", value=b"broken", seldon_pipeline_errors=b"other")
        self.put(flow, "third")
        assert flow.log == []
        flow.check_done()

    def test_any_takes_the_first_and_nothing_later(self) -> None:
        flow = self.both(join="any")
        self.put(flow, "third")
        self.put(flow, "other")
        flow.run()
        assert [record.topic for record in flow.log] == [
            flow.shape.input_topic,
            NAMES.model_inputs("a"),
            flow.shape.output_topic,
        ]
        flow.check_done()

    def test_what_was_forwarded_before_a_restart_is_not_forwarded_again(self) -> None:
        flow = self.both(join="any")
        flow.flow.emitted_before(flow.shape.input_topic, b"0.o.a", [])
        self.put(flow, "third")
        assert flow.log == []
        flow.check_done()


class TestShape:
    @pytest.mark.parametrize(
        ("steps", "output", "sentence"),
        [
            ({}, None, "at least one step"),
            ({"a": {"inputs": ["gone"]}}, None, "read a step or the input"),
            ({"a": {"inputs": ["b"]}, "b": {"inputs": ["a"]}}, None, "has a cycle among a, b"),
            ({"a": {"inputs": []}}, None, "name what goes to"),
        ],
    )
    def test_malformed_instructions_are_refused(self, steps: Any, output: Any, sentence: str) -> None:
        with pytest.raises(InvalidInput, match=sentence):
            topology("p", steps, output)

    @pytest.mark.parametrize("field", ["pipeline", "pipelineOutputTopic", "pipelineErrorTopic"])
    def test_missing_fields_are_named(self, field: str) -> None:
        update = message("p", {"a": {}}, {"steps": ["a"]})
        update.ClearField(field)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match=field):
            Topology(update)

    def test_what_it_reads_and_writes(self) -> None:
        shape = topology("p", *CHAIN, {"inputs": ["other.step.a.outputs"]})
        own = frozenset(["p"])
        assert shape.accepts == {
            NAMES.pipeline_inputs("p"): own,
            NAMES.errors: own,
            NAMES.model_outputs("a"): frozenset(["p", "other"]),
            NAMES.model_outputs("b"): own,
        }
        assert shape.sinks == {
            NAMES.model_inputs("a"),
            NAMES.model_inputs("b"),
            NAMES.pipeline_inputs("p"),
            NAMES.pipeline_outputs("p"),
            NAMES.errors,
        }

    def test_partitions_of_all_sinks_are_needed(self) -> None:
        shape = topology("p", *CHAIN)
        counts = partitions(shape)
        del counts[NAMES.model_inputs("b")]
        with pytest.raises(InvalidInput, match=r"model\.b\.inputs"):
            Flow(shape, counts)


topics = st.sampled_from(
    [NAMES.pipeline_inputs("p"), NAMES.model_outputs("a"), NAMES.model_outputs("b"), NAMES.errors, "elsewhere"]
)
bodies = st.one_of(
    st.none(), st.binary(max_size=30), st.sampled_from([request(ONE), response({"A": [1], "B": [b"x"]}, raw=True)])
)
names = st.sampled_from(["pipeline", ERROR, BATCH, "seldon-deadline-ms", "seldon-visit", "x-pipeline-version"])
texts = st.one_of(st.binary(max_size=12), st.sampled_from([b"p", b"a", b"1/k,2/l", b"1000500", b"1", b"other"]))
records = st.tuples(
    topics, st.sampled_from([None, b"k", b"l", b"0.p.x"]), bodies, st.integers(0, 40), st.lists(st.tuples(names, texts))
)


@settings(max_examples=500, deadline=None)
@given(st.lists(records, max_size=12), st.booleans(), st.integers(0, 3))
def test_no_record_stops_the_flow(records: list[Any], loops: bool, cut: int) -> None:
    """Whatever comes on any topic: no exception, and in the end nothing is left."""
    first = ["p.inputs.A", "b.outputs"] if loops else ["p.inputs.A"]
    steps = {"a": {"inputs": first, "join": "any", "batch": 2}, "b": {"inputs": ["a.outputs.A", "p"]}}
    shape = topology("p", steps, {"steps": ["b.outputs.B"]}, INTAKE, cycles=3 if loops else None)
    flow = World(shape, SAME)
    for topic, key, value, damage, headers in records:
        damaged = value[:damage] + b"\xff" + value[damage + 1 :] if value and cut == 0 else value
        flow.put(topic, key, damaged, [*headers, ("pipeline", b"p")] if cut else headers)
    flow.pass_time(700_000).pass_time(700_000)
    flow.check_done()
