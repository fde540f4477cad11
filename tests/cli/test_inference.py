"""`model infer` and `model metadata` against data planes that answer."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.peers import GrpcDataPlane, HttpPeer

REST = '{"inputs": [{"name": "x", "data": [1, 2.50]}]}'
GRPC = '{"inputs": [{"name": "x", "datatype": "INT32", "shape": ["2"], "contents": {"int_contents": [1, -2]}}]}'


@pytest.fixture(autouse=True)
def data_plane(http_peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_INFER_HOST", http_peer.address)


def test_one_rest_call(run: Run, http_peer: HttpPeer, home: Path) -> None:
    outcome = run("model", "infer", "iris", REST)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == '{\n\t"model_name": "iris",\n\t"data": [\n\t\t2,\n\t\t5.0\n\t]\n}\n'
    (request,) = http_peer.requests
    assert request["path"] == "/v2/models/iris/infer"
    headers = {name.lower(): value for name, value in request["headers"].items()}
    assert headers["seldon-model"] == "iris"
    assert headers["content-type"] == "application/json"
    assert headers["connection"] == "close"
    assert (home / ".config/seldon/cli/session").read_text() == ":iris_2:"


def test_data_from_a_file_and_a_silent_answer(run: Run, home: Path) -> None:
    path = home / "data.json"
    path.write_text(REST)
    assert run("model", "infer", "iris", "-f", str(path), "-o=false").out == ""
    assert '"data": [\n\t\t\t\t1,' in run("model", "infer", "iris", "-f", str(path), "-o=false", "-r").out
    assert run("model", "infer", "iris").err == "Error: required inline data or from file with -f <file-path>\n"


def test_many_calls_are_counted_by_route(run: Run) -> None:
    outcome = run("model", "infer", "iris", REST, "-i", "4")
    assert (outcome.status, outcome.out) == (0, "Success: map[:iris_1::2 :iris_2::2]\n")


def test_seconds_end_by_themselves(run: Run) -> None:
    outcome = run("model", "infer", "iris", REST, "-t", "1")
    assert outcome.out.startswith("Success: map[:iris_1::")


def test_many_failures_are_counted_too(run: Run) -> None:
    outcome = run("model", "infer", "refused", REST, "-i=3")
    assert (outcome.status, outcome.out) == (0, "Success: map[]\nErrors: map[:refused_1::map[400:3]]\n")
    assert outcome.err == "Last failure: wrong shape\n"


def test_a_sticky_session_stays(run: Run, http_peer: HttpPeer, home: Path) -> None:
    missing = run("model", "infer", "iris", REST, "-s")
    assert missing.err == f"Error: open {home}/.config/seldon/cli/session: no such file or directory\n"
    run("model", "infer", "iris", REST)
    assert run("model", "infer", "iris", REST, "-s", "-i", "5").out == "Success: map[:iris_2::5]\n"
    (home / ".config/seldon/cli/session").write_text(":a_1:,:b_1:")
    run("model", "infer", "iris", REST, "-s")
    assert http_peer.requests[-1]["sticky"] == [":a_1:", ":b_1:"]


def test_a_request_that_nothing_will_answer_is_no_error(run: Run) -> None:
    outcome = run("pipeline", "infer", "silent", REST)
    assert (outcome.status, outcome.err) == (0, "")
    assert '"key": "0.silent.a"' in outcome.out


@pytest.mark.parametrize(
    ("model", "sentence"), [("refused", "wrong shape"), ("nope", 'V2 server error: 404 {"detail": "no"}')]
)
def test_rest_errors(run: Run, model: str, sentence: str) -> None:
    outcome = run("model", "infer", model, REST)
    assert (outcome.status, outcome.out, outcome.err) == (255, "", f"Error: {sentence}\n")


def test_headers_and_authority(run: Run, http_peer: HttpPeer) -> None:
    outcome = run("model", "infer", "iris", REST, "--header", "x-a=1", "--authority", "mesh", "--show-headers")
    headers = {name.lower(): value for name, value in http_peer.requests[0]["headers"].items()}
    assert (headers["x-a"], headers["host"]) == ("1", "mesh")
    lines = outcome.out.splitlines()
    assert lines[:2] == ["> POST /v2/models/iris/infer HTTP/1.1", "> Host: mesh"]
    assert "> Seldon-Model:[iris]" in lines
    assert "< X-Seldon-Route:[:iris_2:]" in lines


def test_an_unreachable_data_plane(run: Run) -> None:
    outcome = run("model", "infer", "iris", REST, "--inference-host", "127.0.0.1:1")
    assert outcome.status == 255
    assert "no data plane answers at 127.0.0.1:1" in outcome.err
    assert "SELDON_INFER_HOST" in outcome.err


def test_metadata(run: Run, http_peer: HttpPeer) -> None:
    assert run("model", "metadata", "iris").out == '{\n\t"name": "iris_1",\n\t"platform": "sklearn"\n}\n'
    assert http_peer.requests[0]["path"] == "/v2/models/iris"


def test_an_unknown_mode(run: Run) -> None:
    assert run("model", "infer", "iris", REST, "--inference-mode", "soap").err == "Error: Unknown infer mode soap\n"


def test_one_grpc_call(run: Run, grpc_address: str, grpc_peer: GrpcDataPlane) -> None:
    arguments = ("--inference-mode", "grpc", "--inference-host", grpc_address, "--authority", "mesh")
    outcome = run("model", "infer", "double", GRPC, *arguments, "--header", "X-A=1")
    assert outcome.out.count("\n") == 1
    assert json.loads(outcome.out) == {
        "modelName": "double_1",
        "outputs": [{"name": "y", "datatype": "INT32", "shape": ["2"], "contents": {"intContents": [2, -4]}}],
    }
    assert grpc_peer.metadata[0]["seldon-model"] == "double"
    assert grpc_peer.metadata[0]["x-a"] == "1"
    shown = run("model", "infer", "double", GRPC, *arguments, "--show-headers").out.splitlines()
    assert "> seldon-model:[double]" in shown
    assert "< x-seldon-route:[:double_1:]" in shown
    assert "<< x-served-by:[peer]" in shown
    assert run("model", "infer", "double", GRPC, *arguments, "-i", "3").out == "Success: map[:double_1::3]\n"


def test_grpc_errors(run: Run, grpc_address: str) -> None:
    arguments = ("--inference-mode", "grpc", "--inference-host", grpc_address)
    outcome = run("model", "infer", "nope", GRPC, *arguments)
    assert outcome.err == "Error: rpc error: code = NotFound desc = Model nope not found\n"
    assert run("model", "infer", "nope", GRPC, *arguments, "-i", "2").out == "Success: map[]\nErrors: map[:map[5:2]]\n"
    assert "Error: the data is no inference request: " in run("model", "infer", "nope", '{"a": 1}', *arguments).err


@pytest.mark.parametrize(("mode", "name", "data"), [("rest", "iris", REST), ("grpc", "double", GRPC)])
def test_a_pipeline_is_called_by_its_own_header(
    run: Run, http_peer: HttpPeer, grpc_peer: GrpcDataPlane, grpc_address: str, mode: str, name: str, data: str
) -> None:
    host = http_peer.address if mode == "rest" else grpc_address
    outcome = run("pipeline", "infer", name, data, "--inference-mode", mode, "--inference-host", host)
    assert (outcome.status, outcome.err) == (0, "")
    if mode == "rest":
        (request,) = http_peer.requests
        assert request["path"] == "/v2/models/iris/infer"
        headers = {each.lower(): value for each, value in request["headers"].items()}
    else:
        (headers,) = grpc_peer.metadata
    assert headers["seldon-model"] == f"{name}.pipeline"
