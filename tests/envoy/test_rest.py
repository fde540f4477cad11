"""REST through a real Envoy: how a request finds its model, what the server sees, what the caller gets back."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.envoy.conftest import World
from tests.peers.inference import FAIL_BOTH, FAIL_SERVER

pytestmark = pytest.mark.asyncio(loop_scope="session")
IRIS = {"seldon-model": "iris"}


async def test_by_header(world: World) -> None:
    answer = await world.http.post(f"{world.url}/v2/models/whatever/infer?a=1&b=%2F", headers=IRIS, content=b"12345")
    body = answer.json()
    assert (answer.status_code, body["who"]) == (200, "server")
    assert body["path"] == "/v2/models/iris_1/infer?a=1&b=%2F"
    assert body["bytes"] == 5
    assert body["headers"]["seldon-internal-model"] == "iris_1"
    assert answer.headers["x-seldon-route"] == ":iris_1:"


@pytest.mark.parametrize(
    ("path", "upstream_path"),
    [
        ("/v2/models/iris", "/v2/models/iris_1"),
        ("/v2/models/iris/infer", "/v2/models/iris_1/infer"),
        ("/v2/models/iris?x=1", "/v2/models/iris_1?x=1"),
        ("/v2/models/iris/ready", "/v2/models/iris_1/ready"),
        ("/v2/models/iris/versions/3/infer", "/v2/models/iris_1/infer"),
        ("/v2/models/iris/versions/3?x=1", "/v2/models/iris_1?x=1"),
        ("/v2/models/iris/infer_stream", "/v2/models/iris_1/infer_stream"),
    ],
)
async def test_by_path(world: World, path: str, upstream_path: str) -> None:
    answer = await world.http.get(world.url + path)
    assert answer.status_code == 200
    assert answer.json()["path"] == upstream_path


async def test_the_header_wins_over_the_path(world: World) -> None:
    answer = await world.http.get(f"{world.url}/v2/models/iris/ready", headers={"seldon-model": "add"})
    assert answer.json()["path"] == "/v2/models/add_1/ready"


async def test_server_paths_reach_the_models_server_as_they_are(world: World) -> None:
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        answer = await world.http.get(world.url + path, headers=IRIS)
        assert answer.json()["path"] == path


@pytest.mark.parametrize(
    "path", ["/v2/repository/index", "/v2/repository/models/iris_1/unload", "/v2/models", "/v2/logging", "/metrics"]
)
async def test_what_could_change_or_show_a_server_is_refused(world: World, path: str) -> None:
    answer = await world.http.post(world.url + path, headers=IRIS)
    assert answer.status_code == 404
    assert "this call is not served" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2/models/iris/../../repository/index", "/v2/models/iris%2f..%2f..%2frepository"])
async def test_no_way_around_by_odd_paths(world: World, path: str) -> None:
    request = httpx.Request("POST", world.url, headers=IRIS)
    request.url = request.url.copy_with(raw_path=path.encode())
    answer = await world.http.send(request)
    assert answer.status_code in (400, 404) or answer.json()["path"].startswith("/v2/models/iris_1")


@pytest.mark.parametrize("headers", [{}, {"seldon-model": "nope"}])
async def test_unknown_model(world: World, headers: dict[str, str]) -> None:
    answer = await world.http.post(f"{world.url}/v2/models/nope/infer", headers=headers)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"
    assert "of 'nope': either no model or pipeline of this name is loaded" in answer.json()["error"]


async def test_a_name_that_would_break_the_json_of_the_answer(world: World) -> None:
    answer = await world.http.get(f"{world.url}/v2/models/x", headers={"seldon-model": 'a"},{"b'})
    assert answer.status_code == 404
    assert 'a"},{"b' in answer.json()["error"]


async def test_no_model_at_all(world: World) -> None:
    answer = await world.http.get(f"{world.url}/something")
    assert answer.status_code == 404
    assert "names no model" in answer.json()["error"]


@pytest.mark.parametrize("route", [":iris_1:", ":iris_99:", ":other_1:", "nonsense"])
async def test_a_route_header_that_fits_nothing_is_ignored(world: World, route: str) -> None:
    answer = await world.http.get(f"{world.url}/v2/models/iris", headers={"x-seldon-route": route})
    assert answer.status_code == 200
    assert answer.headers["x-seldon-route"] == ":iris_1:"


async def test_request_id_is_echoed_or_made(world: World) -> None:
    answer = await world.http.get(f"{world.url}/v2/models/iris", headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"
    assert {key.lower(): value for key, value in answer.json()["headers"].items()}["x-request-id"] == "mine"
    first, second = [(await world.http.get(f"{world.url}/v2/models/iris")).headers["x-request-id"] for _ in "ab"]
    assert first
    assert first != second


async def test_a_hundred_megabytes(world: World) -> None:
    block = b"x" * 1_000_000

    def known_length() -> Iterator[bytes]:
        for _ in range(100):
            yield block

    async def chunked() -> AsyncIterator[bytes]:
        for part in known_length():
            yield part

    headers = {"content-length": "100000000"}
    answer = await world.http.post(f"{world.url}/v2/models/iris/infer", content=chunked(), headers=headers)
    assert answer.json()["bytes"] == 100_000_000
    answer = await world.http.post(f"{world.url}/v2/models/iris/infer", content=chunked())
    assert answer.json()["bytes"] == 100_000_000


@pytest.mark.parametrize(
    ("name", "status", "who"),
    [("iris", 404, "agent"), ("iris", 400, "server"), ("add", 404, "agent"), ("add", 400, "agent")],
)
async def test_a_server_without_the_model_is_asked_through_its_agent(
    world: World, name: str, status: int, who: str
) -> None:
    headers = {FAIL_SERVER: str(status)}
    answer = await world.http.post(f"{world.url}/v2/models/{name}/infer", headers=headers, content=b"12345")
    assert answer.json()["who"] == who
    assert answer.status_code == (200 if who == "agent" else status)
    assert answer.json()["bytes"] == 5


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500, 503])
async def test_a_genuine_error_reaches_the_caller_as_it_is(world: World, status: int) -> None:
    answer = await world.http.post(f"{world.url}/v2/models/iris/infer", headers={FAIL_BOTH: str(status)})
    assert answer.status_code == status
    assert answer.json()["path"] == "/v2/models/iris_1/infer"


async def test_a_server_that_is_down_is_asked_through_its_agent(world: World) -> None:
    for _ in range(3):
        answer = await world.http.post(f"{world.url}/v2/models/cold/infer", content=b"12345")
        assert (answer.status_code, answer.json()["who"], answer.json()["bytes"]) == (200, "agent", 5)
