"""The receiver over real HTTP: every shape of an event, every refusal, every record level."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.hodometer_receiver.core.events import event_of
from services.hodometer_receiver.core.record import MOST_EVENTS, Record, RecordLevel
from services.hodometer_receiver.http_api import LARGEST_EVENT
from services.hodometer_receiver.settings import ReceiverSettings
from shared.errors import InvalidInput
from tests.hodometer.peers import receiver_url

NO_EVENT = "no event provided"
NOT_AN_EVENT = "unable to interpret request as an event"
PROPERTIES: dict[str, Any] = {"token": "t", "time": 1_700_000_000, "distinct_id": "d", "$insert_id": "i"}
# Base64 of these question marks and tildes contains both characters in which the alphabets differ.
EVENT: dict[str, Any] = {"event": "collect metrics", "properties": {**PROPERTIES, "text": "???>>>~~~", "more": [1, {}]}}


def text(event: Any = EVENT) -> bytes:
    return json.dumps(event).encode()


def standard(event: Any = EVENT) -> str:
    return base64.b64encode(text(event)).decode()


def url_safe(event: Any = EVENT) -> str:
    return base64.urlsafe_b64encode(text(event)).decode()


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """Of a receiver that records everything."""
    async with receiver_url() as url, httpx.AsyncClient(base_url=url) as made:
        yield made


async def recorded(client: httpx.AsyncClient) -> Any:
    return (await client.get("/events")).json()


def test_the_sample_tells_the_alphabets_apart() -> None:
    assert set(standard()) & set("+/") == set("+/")
    assert set(url_safe()) & set("-_") == set("-_")


@pytest.mark.parametrize("data", [standard(), url_safe(), standard().rstrip("="), url_safe().rstrip("=")])
async def test_events_in_the_query_in_either_alphabet(client: httpx.AsyncClient, data: str) -> None:
    answer = await client.get("/track", params={"data": data, "verbose": "1"})
    assert (answer.status_code, answer.content) == (200, b'{"status":1,"error":""}')
    assert answer.headers["content-type"] == "application/json"
    assert await recorded(client) == [EVENT]


async def test_a_query_in_which_nobody_escaped_the_plus_signs(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/track?data={standard()}&verbose=1")
    assert answer.json() == {"status": 1, "error": ""}
    assert await recorded(client) == [EVENT]


@pytest.mark.parametrize("data", [standard(), url_safe()])
async def test_events_in_a_form(client: httpx.AsyncClient, data: str) -> None:
    answer = await client.post("/track", data={"data": data}, params={"verbose": "1"})
    assert answer.json() == {"status": 1, "error": ""}
    assert await recorded(client) == [EVENT]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "", "application/x-www-form-urlencoded"])
async def test_events_as_json(client: httpx.AsyncClient, content_type: str) -> None:
    answer = await client.post("/track?verbose=1", content=text(), headers={"Content-Type": content_type})
    assert answer.json() == {"status": 1, "error": ""}
    assert await recorded(client) == [EVENT]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
async def test_any_method(client: httpx.AsyncClient, method: str) -> None:
    assert (await client.request(method, "/track", params={"data": standard()})).status_code == 200
    assert await recorded(client) == [EVENT]


async def test_the_query_goes_before_the_body(client: httpx.AsyncClient) -> None:
    other = {"event": "other", "properties": PROPERTIES}
    await client.post("/track", params={"data": standard()}, content=text(other))
    assert await recorded(client) == [EVENT]


@pytest.mark.parametrize(
    ("verbose", "body"),
    [
        ("1", b'{"status":1,"error":""}'),
        ("1.0", b'{"status":1,"error":""}'),
        ("10", b'{"status":1,"error":""}'),
        ("0", b""),
        ("true", b""),
        ("", b""),
    ],
)
async def test_the_answer_is_json_only_when_asked_for(client: httpx.AsyncClient, verbose: str, body: bytes) -> None:
    answer = await client.get("/track", params={"data": standard(), "verbose": verbose})
    assert (answer.status_code, answer.content) == (200, body)


async def test_no_event(client: httpx.AsyncClient) -> None:
    for answer in (
        await client.get("/track"),
        await client.get("/track?data=&verbose=1"),
        await client.post("/track", data={"verbose": "1"}),
        await client.post("/track", headers={"Content-Type": "application/json"}),
    ):
        assert (answer.status_code, answer.text) == (400, NO_EVENT)
    assert await recorded(client) == []


def without(name: str) -> dict[str, Any]:
    return {**EVENT, "properties": {key: value for key, value in PROPERTIES.items() if key != name}}


def with_property(name: str, value: Any) -> dict[str, Any]:
    return {**EVENT, "properties": {**PROPERTIES, name: value}}


WRONG_TEXTS: list[Any] = [None, 1, True, [], {}]
WRONG_TIMES: list[Any] = [None, "1700000000", 1.5, 1.0, True, []]
WRONG_PROPERTIES: list[Any] = [None, [], "p", 1]
BAD_EVENTS: list[Any] = [
    None, True, 1, "event", [], [EVENT], {},
    {"properties": PROPERTIES},
    {"event": "e"},
    *({"event": name, "properties": PROPERTIES} for name in ("", "  ", None, 1, ["e"])),
    *({"event": "e", "properties": properties} for properties in WRONG_PROPERTIES),
    *(without(name) for name in PROPERTIES),
    *(with_property(name, value) for name in ("token", "distinct_id", "$insert_id") for value in WRONG_TEXTS),
    *(with_property("time", value) for value in WRONG_TIMES),
]  # fmt: skip


@pytest.mark.parametrize("event", BAD_EVENTS, ids=lambda event: json.dumps(event)[:60])
def test_what_is_no_event(event: Any) -> None:
    for data, body in ((standard(event), b""), (url_safe(event), b""), ("", text(event))):
        with pytest.raises(InvalidInput, match=f"^{NOT_AN_EVENT}$"):
            event_of(data, "", body)


BAD_JSON = [
    b"{", b"\xff\xfe\x00", b"not json", b"   ", b"[" * 60_000, b'{"a":' * 10_000,
    text(with_property("x", 0)).replace(b'"x": 0', b'"x": NaN'),
    text(with_property("x", 0)).replace(b'"x": 0', b'"x": 1e999'),
    text(with_property("x", 0)).replace(b'"x": 0', b'"x": ' + b"9" * 5_000),
]  # fmt: skip


@pytest.mark.parametrize("body", BAD_JSON, ids=range(len(BAD_JSON)))
async def test_what_is_no_json(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/track?verbose=1", content=body)
    assert (answer.status_code, answer.text) == (400, NOT_AN_EVENT)
    assert await recorded(client) == []


@pytest.mark.parametrize("data", ["%", "a", "&&&", "ä", "YQ==YQ==", "e30"])
async def test_what_is_no_base64_of_an_event(client: httpx.AsyncClient, data: str) -> None:
    for answer in (
        await client.get("/track", params={"data": data}),
        await client.post("/track", data={"data": data}),
    ):
        assert (answer.status_code, answer.text) == (400, NOT_AN_EVENT)


async def test_what_is_too_large(client: httpx.AsyncClient) -> None:
    answer = await client.post("/track", content=text(with_property("x", "x" * LARGEST_EVENT)))
    assert (answer.status_code, answer.text) == (413, f"an event may have {LARGEST_EVENT} bytes")
    assert await recorded(client) == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(others=st.dictionaries(st.text(), JSON_VALUES), name=st.text().filter(str.strip))
def test_all_other_properties_are_kept_as_they_are(others: dict[str, Any], name: str) -> None:
    event = {"event": name, "properties": {**others, **PROPERTIES}}
    for data, body in ((standard(event), b""), (url_safe(event), b""), ("", text(event))):
        assert json.loads(event_of(data, "", body)) == event


@settings(deadline=None)
@given(data=st.text(), content_type=st.text(), body=st.binary())
def test_no_request_breaks_the_reading(data: str, content_type: str, body: bytes) -> None:
    with pytest.raises(InvalidInput, match=f"^({NO_EVENT}|{NOT_AN_EVENT})$"):
        event_of(data, content_type, body)


def test_what_stands_beside_name_and_properties_is_left_out() -> None:
    assert json.loads(event_of(standard({**EVENT, "ip": "10.0.0.1"}), "", b"")) == EVENT


# -- what is remembered ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "none", "two"),
    [
        (RecordLevel.ALL, [], [EVENT, {"event": "second", "properties": PROPERTIES}]),
        (RecordLevel.SUMMARY, [{"totalEvents": 0}], [{"totalEvents": 2}]),
        (RecordLevel.NONE, [], []),
    ],
)
async def test_record_levels(level: RecordLevel, none: Any, two: Any) -> None:
    async with receiver_url(level) as url, httpx.AsyncClient(base_url=url) as client:
        assert await recorded(client) == none
        for event in (EVENT, {"event": "second", "properties": PROPERTIES}):
            assert (await client.get("/track", params={"data": standard(event)})).status_code == 200
        answer = await client.get("/events")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == two


async def test_probes(client: httpx.AsyncClient) -> None:
    for path in ("/live", "/ready"):
        assert (await client.get(path)).status_code == 200


def test_the_oldest_events_give_way_and_are_counted() -> None:
    everything, summary = Record(RecordLevel.ALL), Record(RecordLevel.SUMMARY)
    for number in range(MOST_EVENTS + 5):
        for record in (everything, summary):
            record.add(b"%d" % number)
    assert json.loads(everything.json()) == list(range(5, MOST_EVENTS + 5))
    assert everything.dropped == 5
    assert json.loads(summary.json()) == [{"totalEvents": MOST_EVENTS + 5}]
    assert summary.dropped == 0


# -- settings --------------------------------------------------------------------------------------------------------


def test_settings_of_the_receiver(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LISTEN_PORT", "LOG_LEVEL", "RECORD_LEVEL"):
        monkeypatch.setenv(name, "")
    made = ReceiverSettings.load([])
    assert (made.listen_port, made.log_level, made.record_level) == (8001, "info", RecordLevel.SUMMARY)
    for name, value in {"LISTEN_PORT": "8002", "LOG_LEVEL": "Warn", "RECORD_LEVEL": "aLL"}.items():
        monkeypatch.setenv(name, value)
    made = ReceiverSettings.load([])
    assert (made.listen_port, made.log_level, made.record_level) == (8002, "warning", RecordLevel.ALL)


def test_bad_settings_of_the_receiver_stop_its_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"LISTEN_PORT": "x", "LOG_LEVEL": "loud", "RECORD_LEVEL": "some"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        ReceiverSettings.load([])
    assert caught.value.code == 2
    told = capsys.readouterr().err
    assert all(name in told for name in ("LISTEN_PORT", "LOG_LEVEL", "RECORD_LEVEL", "'NONE', 'SUMMARY' or 'ALL'"))
