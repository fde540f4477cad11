"""Levels of a running service are seen and set on the port of its probes."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.logs.service import running
from tests.peers.ports import free_port

EVENT = {"event": "e", "properties": {"token": "t", "time": 1, "distinct_id": "d", "$insert_id": "i"}}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("receiver") / "log"


@pytest.fixture(scope="module")
def service(log: Path) -> Iterator[httpx.Client]:
    """The smallest of our services."""
    port = free_port()
    variables = {"LISTEN_PORT": str(port), "HODOMETER_RECEIVER_HOST": "127.0.0.1"}
    with (
        running("hodometer_receiver", port, variables, log) as url,
        httpx.Client(base_url=url, trust_env=False) as made,
    ):
        yield made


def _levels_of_lines(log: Path, component: str) -> list[str]:
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return [line["level"] for line in lines if line["component"] == component]


def test_a_change_has_its_effect_at_once_and_null_takes_it_back(service: httpx.Client, log: Path) -> None:
    before = service.get("/logging").json()
    assert (before["service"], before["level"], before["set"]) == ("hodometer-receiver", "info", {})
    assert before["components"]["receiver"] == "info"
    assert before["components"]["uvicorn"] == "warning"

    def send() -> None:
        assert service.post("/track", json=EVENT).status_code == 200
        assert service.post("/track", content=b"{}").status_code == 400

    send()
    assert _levels_of_lines(log, "receiver") == ["info", "warning"]
    changed = service.put("/logging", json={"components": {"receiver": "error"}})
    assert changed.status_code == 200
    assert changed.json() == {**before, "components": {**before["components"], "receiver": "error"},
                              "set": {"receiver": "error"}}  # fmt: skip
    send()
    assert _levels_of_lines(log, "receiver") == ["info", "warning"]
    service.put("/logging", json={"level": "warn", "components": {"receiver": None}})
    send()
    assert _levels_of_lines(log, "receiver") == ["info", "warning", "warning"]
    assert service.put("/logging", json={"level": "info"}).json() == before


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"level": "loud"}', 400, "invalid level 'loud': use one of panic"),
        (b'{"components": {"nobody": "info"}}', 400, "invalid component 'nobody': use one of "),
        (b'{"components": {"aiokafka": "debug"}}', 400, "invalid components.aiokafka 'debug': use info or higher"),
        (b"level=debug", 400, "invalid body: write a JSON object"),
        (b"\xff", 400, "invalid body: write a JSON object"),
        (b"[" * 60_000, 400, "invalid body: write a JSON object"),
        (b" " * 70_000, 413, "log levels may have 65536 bytes"),
    ],
)
def test_a_wrong_change_is_refused_with_a_sentence(service: httpx.Client, body: bytes, status: int, said: str) -> None:
    before = service.get("/logging").json()
    answer = service.put("/logging", content=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert service.get("/logging").json() == before
