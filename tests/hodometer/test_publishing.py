"""Publishing over real HTTP: retries, several receivers, and none of them in the way of another."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.hodometer.core.event import event_of
from services.hodometer.core.fields import Level
from services.hodometer.publishing import Publisher
from tests.hodometer.peers import HOST, ScriptedReceiver, Waits, receiver_url
from tests.hodometer.test_fields import EVERYTHING
from tests.peers.ports import free_port

EVENT = event_of(Level.FEATURE, EVERYTHING, UUID(int=1), 1_700_000_000_000_000_000)


def outcomes(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Receiver to what became of the event there in the end."""
    return {line["url"]: line["event"] for line in lines if line["event"] in ("published", "not published")}


async def test_the_call_is_a_get_of_track_with_data_and_verbose(lines: list[dict[str, Any]]) -> None:
    receiver = ScriptedReceiver()
    async with receiver.url() as url:
        await Publisher([url]).publish(EVENT)
    (request,) = receiver.requests
    assert (request.method, request.url.path) == ("GET", "/track")
    assert sorted(request.query_params) == ["data", "verbose"]
    assert request.query_params["verbose"] == "1"
    assert receiver.events == [EVENT]
    assert [line["event"] for line in lines] == [f"publishing usage metrics to {url}", "published"]


async def test_a_path_and_a_query_of_the_receiver_are_kept() -> None:
    receiver = ScriptedReceiver()
    async with receiver.url() as url:
        await Publisher([f"{url}/metrics/?team=a"]).publish(EVENT)
    (request,) = receiver.requests
    assert request.url.path == "/metrics/track"
    assert request.query_params["team"] == "a"
    assert receiver.events == [EVENT]


async def test_two_receivers_both_get_the_event() -> None:
    async with receiver_url() as first, receiver_url() as second:
        await Publisher([first, second]).publish(EVENT)
        async with httpx.AsyncClient() as client:
            for url in (first, second):
                assert (await client.get(f"{url}/events")).json() == [EVENT]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_busy_receiver_is_tried_again(status: int, lines: list[dict[str, Any]]) -> None:
    receiver, waits = ScriptedReceiver([status] * 3), Waits()
    async with receiver.url() as url:
        await Publisher([url], waits).publish(EVENT)
        assert outcomes(lines) == {url: "published"}
    assert waits.seconds == [1, 2, 4]
    assert receiver.events == [EVENT] * 4


async def test_it_gives_up_after_twenty_retries(lines: list[dict[str, Any]]) -> None:
    receiver, waits = ScriptedReceiver([500] * 30), Waits()
    async with receiver.url() as url:
        await Publisher([url], waits).publish(EVENT)
        assert outcomes(lines) == {url: "not published"}
    assert len(receiver.requests) == 21
    assert waits.seconds == [1, 2, 4, 8, 16, *[30] * 15]


@pytest.mark.parametrize("status", [400, 401, 404, 501])
async def test_a_refusal_is_final(status: int, lines: list[dict[str, Any]]) -> None:
    receiver, waits = ScriptedReceiver([status]), Waits()
    async with receiver.url() as url:
        await Publisher([url], waits).publish(EVENT)
        assert outcomes(lines) == {url: "not published"}
    assert (len(receiver.requests), waits.seconds) == (1, [])


@pytest.mark.parametrize(
    "answer", [b"", b"1", b"ok", b"[]", b'{"status":0,"error":"no"}', b'{"status":1,"error":"no"}']
)
async def test_only_the_documented_answer_is_success(answer: bytes, lines: list[dict[str, Any]]) -> None:
    receiver = ScriptedReceiver(answer=answer)
    async with receiver.url() as url:
        await Publisher([url], Waits()).publish(EVENT)
        assert outcomes(lines) == {url: "not published"}
    assert len(receiver.requests) == 1


async def test_an_answer_without_end_is_cut(lines: list[dict[str, Any]]) -> None:
    receiver = ScriptedReceiver(answer=b" " * 10_000_000)
    async with receiver.url() as url:
        await Publisher([url], Waits()).publish(EVENT)
        assert outcomes(lines) == {url: "not published"}
    (error,) = [line for line in lines if line["log_level"] == "error"]
    assert len(error["reason"]) < 300


async def test_an_unreachable_and_a_failing_receiver_disturb_nobody(lines: list[dict[str, Any]]) -> None:
    nobody = f"http://{HOST}:{free_port()}"
    failing, waits = ScriptedReceiver([503] * 30), Waits()
    async with failing.url() as failing_url, receiver_url() as served:
        await Publisher([nobody, failing_url, served], waits).publish(EVENT)
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{served}/events")).json() == [EVENT]
        assert outcomes(lines) == {nobody: "not published", failing_url: "not published", served: "published"}
    assert len(waits.seconds) == 40


async def test_a_receiver_is_served_while_another_is_waited_for() -> None:
    async with receiver_url() as served, httpx.AsyncClient() as client:
        seen: list[Any] = []

        async def look(_: float) -> None:
            seen.append((await client.get(f"{served}/events")).json())

        await Publisher([f"http://{HOST}:{free_port()}", served], look).publish(EVENT)
    assert len(seen) == 20
    assert [EVENT] in seen


@pytest.mark.usefixtures("lines")
async def test_stdout_prints_the_event_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    await Publisher(["stdout:"]).publish(EVENT)
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    assert json.loads(printed) == EVENT


async def test_a_password_in_a_url_stays_out_of_the_log(lines: list[dict[str, Any]]) -> None:
    receiver = ScriptedReceiver()
    async with receiver.url() as url:
        await Publisher([url.replace("//", "//me:secret@")]).publish(EVENT)
    assert "authorization" in receiver.requests[0].headers
    assert "secret" not in str(lines)


async def test_requests_tell_nothing_about_the_machine() -> None:
    receiver = ScriptedReceiver()
    async with receiver.url() as url:
        await Publisher([url]).publish(EVENT)
    headers = dict(receiver.requests[0].headers)
    assert headers.pop("host") == url.removeprefix("http://")
    assert headers == {
        "accept": "*/*",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "user-agent": "hodometer",
    }
