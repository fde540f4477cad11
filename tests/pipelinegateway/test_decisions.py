"""The pure parts: names, deadlines, headers, sizes, codes."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pipelinegateway.calls import Call
from services.pipelinegateway.core.answers import HTTP_STATUS, BadAnswer, StepFailed, value_of
from services.pipelinegateway.core.deadlines import timeout_seconds
from services.pipelinegateway.core.passed_headers import for_record, for_reply
from services.pipelinegateway.core.record_size import body_limit, check, record_bytes
from services.pipelinegateway.core.resources import Kind, Resource, Verb, parse_path, resource_of
from shared.errors import InvalidInput, NotFound, PayloadTooLarge, RejectedRequest
from shared.grpc_codes import camel_case
from shared.xid import Xids


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**40 - 1), st.integers(0, 2**24 - 1))
def test_an_id_is_twelve_bytes_in_base_32(seconds: int, process: int, counter: int) -> None:
    made = Xids(process, counter).new(seconds)
    padded = made.upper() + "===="
    expected = seconds.to_bytes(4, "big") + process.to_bytes(5, "big") + counter.to_bytes(3, "big")
    assert base64.b32hexdecode(padded) == expected


@given(st.integers(0, 2**32 - 2), st.integers(0, 2**24 + 10))
def test_ids_are_unique_ordered_by_time_and_known_to_their_maker(seconds: int, start: int) -> None:
    ids, others = Xids(1 << 30, start), Xids(1 << 31, start)
    earlier, twin, later = ids.new(seconds), ids.new(seconds), ids.new(seconds + 1)
    assert earlier != twin
    assert earlier < later
    assert all(ids.made(each.encode()) and not others.made(each.encode()) for each in (earlier, twin, later))
    assert not ids.made(b"")
    assert not ids.made(b"cqq3b3jtqdlc73fqr0vg")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"seldon-model": b"a.pipeline"}, Resource(Kind.PIPELINE, "a")),
        ({"seldon-model": b"a"}, Resource(Kind.MODEL, "a")),
        ({"seldon-model": b"a.model"}, Resource(Kind.MODEL, "a")),
        ({"seldon-model": b"e.experiment", "seldon-internal-model": b"b.pipeline"}, Resource(Kind.PIPELINE, "b")),
        ({"seldon-internal-model": b"a.pipeline, b.pipeline"}, Resource(Kind.PIPELINE, "b")),
        ({}, Resource(Kind.PIPELINE, "path")),
    ],
)
def test_resource_of_headers(headers: dict[str, bytes], expected: Resource) -> None:
    assert resource_of(headers.items(), Resource(Kind.PIPELINE, "path")) == expected


def test_the_last_of_several_values_counts() -> None:
    headers = [("seldon-internal-model", b"main.pipeline"), ("seldon-internal-model", b"mirror.pipeline")]
    assert resource_of(headers, None).name == "mirror"


@pytest.mark.parametrize("value", [b"a.experiment", b"a.b.c", b".pipeline", b"\xff", b"a/b"])
def test_a_header_that_names_nothing_is_named(value: bytes) -> None:
    with pytest.raises(RejectedRequest, match="invalid seldon-model"):
        resource_of([("seldon-model", value)], None)


@pytest.mark.parametrize(
    ("path", "kind", "verb"),
    [
        ("/v2/pipelines/p/infer", Kind.PIPELINE, Verb.INFER),
        ("/v2/models/p/versions/3/infer", Kind.MODEL, Verb.INFER),
        ("/v2/models/p/ready", Kind.MODEL, Verb.READY),
        ("/v2/pipelines/p/", Kind.PIPELINE, Verb.METADATA),
    ],
)
def test_paths(path: str, kind: Kind, verb: Verb) -> None:
    parsed = parse_path(path)
    assert (parsed.resource, parsed.verb) == (Resource(kind, "p"), verb)


@pytest.mark.parametrize(
    "path", ["/", "/v2/pipelines", "/v2/pipelines/p/infer_stream", "/v2/models/p/infer/chat", "/x"]
)
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(NotFound, match="nothing answers"):
        parse_path(path)


def test_the_shortest_wait_wins() -> None:
    assert timeout_seconds(60_000, None) == 60
    assert timeout_seconds(60_000, "250") == 0.25
    assert timeout_seconds(100, "250") == 0.1
    assert timeout_seconds(60_000, "250", caller_seconds=0.1) == pytest.approx(0.095)
    assert timeout_seconds(60_000, None, caller_seconds=10) == pytest.approx(9.98)
    assert timeout_seconds(60_000, None, caller_seconds=-1) == 0


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "1e3", "abc", "9" * 30, "٣"])
def test_a_wrong_timeout_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="x-seldon-timeout-ms"):
        timeout_seconds(1, text)


def test_what_travels_on_the_record() -> None:
    received = [
        ("x-tenant", b"t"),
        ("x-tenant", b"u"),
        ("traceparent", b"00-1"),
        ("accept", b"*/*"),
        ("x-seldon-route", b":m_1:"),
        ("x-request-id", b"theirs"),
        ("authorization", b"secret"),
    ]
    assert for_record(received) == [("x-tenant", b"t"), ("x-tenant", b"u"), ("traceparent", b"00-1")]


def test_what_returns_to_the_caller() -> None:
    record = [
        ("x-tenant", b"t"),
        ("x-seldon-route", b":a_1:"),
        ("x-seldon-route", b":b_2:"),
        ("x-seldon-route", b":a_1:"),
        ("x-request-id", b"theirs"),
        ("x-envoy-upstream-service-time", b"3"),
        ("x-forwarded-for", b"1.2.3.4"),
        ("x-broken", b"a\r\nset-cookie: b"),
        ("x-bad name", b"v"),
        ("pipeline", b"p"),
        ("x-pipeline-version", b"3"),
    ]
    assert for_reply(record) == [
        ("x-tenant", b"t"),
        ("x-seldon-route", b":a_1:"),
        ("x-seldon-route", b":b_2:"),
        ("x-pipeline-version", b"3"),
    ]


def test_headers_of_a_call() -> None:
    call = Call("own", [("x-a", b"1")], None)
    assert call.reply_headers == [("x-request-id", b"own")]
    assert call.record(2, "p", 99) == [
        ("x-a", b"1"),
        ("x-request-id", b"own"),
        ("pipeline", b"p"),
        ("seldon-deadline-ms", b"99"),
    ]
    call.answered([("x-seldon-route", b":m_1:"), ("x-a", b"1")])
    assert call.reply_headers == [
        ("x-request-id", b"own"),
        ("x-seldon-request-key", b"2.p.own"),
        ("x-seldon-route", b":m_1:"),
        ("x-a", b"1"),
    ]


def test_a_key_ends_in_the_callers_id_and_our_own() -> None:
    call = Call("own", [], b"theirs")
    call.record(2, "p", None)
    assert call.key == b"2.p.theirs.own"
    for unfit in (b"\xff", b"a b", b"", b"x" * 201, b"own"):
        other = Call("own", [], unfit)
        other.record(2, "p", None)
        assert other.key == b"2.p.own"


def test_sizes() -> None:
    assert record_bytes(b"v" * 100, b"key", [("h", b"1")]) > 100 + 3 + 2
    check(10, 10)
    with pytest.raises(PayloadTooLarge, match=r"11 bytes .* 10 bytes"):
        check(11, 10)
    assert body_limit(1000) == 4000
    assert body_limit(2**40) == 2**40


def test_values_of_records() -> None:
    assert value_of(b"v", []) == b"v"
    with pytest.raises(BadAnswer):
        value_of(None, [])
    with pytest.raises(StepFailed, match="m : text") as failed:
        value_of(b"text", [("seldon-pipeline-errors", b"m")])
    assert (failed.value.code_name, failed.value.http_status) == ("UNKNOWN", 400)


@pytest.mark.parametrize("name", sorted(HTTP_STATUS))
def test_codes_of_error_records(name: str) -> None:
    with pytest.raises(StepFailed) as failed:
        value_of(b"", [("seldon-pipeline-errors", b"m"), ("seldon-error-code", name.encode())])
    assert (failed.value.code_name, failed.value.http_status) == (name, HTTP_STATUS[name])
    # Only what a model says about the request is the caller's fault.
    if name in ("INTERNAL", "UNKNOWN", "DATA_LOSS"):
        assert failed.value.http_status == 500


def test_an_error_code_that_nobody_knows_is_unknown() -> None:
    with pytest.raises(StepFailed) as failed:
        value_of(b"", [("seldon-pipeline-errors", b"m"), ("seldon-error-code", b"OK")])
    assert failed.value.code_name == "UNKNOWN"


def test_codes_in_metrics() -> None:
    names = [camel_case(name) for name in ("OK", "UNKNOWN", "FAILED_PRECONDITION", "CANCELLED")]
    assert names == ["OK", "Unknown", "FailedPrecondition", "Canceled"]
