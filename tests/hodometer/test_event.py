"""The event and the query that carries it."""

import base64
import json
from typing import get_args
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.hodometer.core.event import event_of, query_of, text_of
from services.hodometer.core.fields import Level, Value
from services.hodometer_receiver.core.events import event_of as received
from tests.hodometer.test_fields import EVERYTHING, NAMES

CLUSTER_ID = UUID("7d8e1a0e-8d54-4c63-9c2f-5f5b6b1d6f11")
NOW_NS = 1_700_000_000_123_456_789


def test_the_event_has_exactly_the_documented_keys() -> None:
    event = event_of(Level.FEATURE, EVERYTHING, CLUSTER_ID, NOW_NS)
    assert list(event) == ["event", "properties"]
    assert event["event"] == "collect metrics"
    properties = event["properties"]
    assert sorted(properties) == sorted(["token", "distinct_id", "ip", "time", "$insert_id", *NAMES])
    assert properties["token"] == "e943e8a2ebd1352338ecac1f9fde8c7c"
    assert properties["distinct_id"] == properties["cluster_id"] == str(CLUSTER_ID)
    assert properties["ip"] == "0"
    assert (properties["time"], properties["$insert_id"]) == (1_700_000_000, "1700000000123456789")
    assert {name: properties[name] for name in NAMES} == EVERYTHING


@settings(deadline=None)
@given(text=st.text() | st.text('>?~\x7f\\"'), level=st.sampled_from(Level), now=st.integers(0, 2**63))
def test_the_query_is_base64_of_both_alphabets_that_the_receiver_reads_back(text: str, level: Level, now: int) -> None:
    event = event_of(level, {"seldon_core_version": text}, CLUSTER_ID, now)
    query = query_of(event)
    assert query["verbose"] == "1"
    assert json.loads(base64.b64decode(query["data"], validate=True)) == event
    assert not set(query["data"]) & set("+/-_")
    assert json.loads(received(query["data"], "", b"")) == event


def test_printed_on_one_line() -> None:
    event = event_of(Level.FEATURE, {"seldon_core_version": "a\nb"}, CLUSTER_ID, NOW_NS)
    assert "\n" not in text_of(event)
    assert all(isinstance(value, get_args(Value)) for value in event["properties"].values())
