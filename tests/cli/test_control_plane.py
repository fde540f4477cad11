"""Commands that talk to the scheduler, against one that answers."""

import io
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.peers import NO_SERVER, HttpPeer, MemoryScheduler

WARNING = "This command is likely to cause inconsistencies"


def write(home: Path, *documents: dict[str, Any]) -> str:
    path = home / "manifest.yaml"
    path.write_text("\n---\n".join(json.dumps(each) for each in documents))
    return str(path)


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "mlops.seldon.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


IRIS = document("Model", "iris", storageUri="gs://iris", requirements=["sklearn"])
TYPO = document("Model", "iris", storagUri="gs://iris")


def test_load_wait_list_unload(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    path = write(home, IRIS)
    loaded = run("model", "load", "-f", path)
    assert (loaded.status, json.loads(loaded.out)) == (0, {})
    assert WARNING in loaded.err
    assert scheduler.models["iris"][0].modelDefn.deploymentSpec.maxReplicas == 4294967295

    waited = run("model", "status", "iris", "-w", "ModelAvailable", "-t", "10")
    assert (waited.status, waited.out, waited.err) == (0, "{}\n", "")
    status = json.loads(run("model", "status", "iris").out)
    assert status["versions"][0]["state"]["state"] == "ModelAvailable"
    assert status["versions"][0]["modelReplicaState"] == {"0": {"state": "Available"}}
    assert run("model", "list").out == "model\tstate\t\treason\n-----\t-----\t\t------\niris\tModelAvailable\t\n"
    assert json.loads(run("model", "list", "--output", "json").out)["modelName"] == "iris"
    assert "Available" in run("model", "status", "iris", "--output=table").out

    assert run("model", "unload", "iris").out == ""
    assert run("model", "list").out == "model\tstate\treason\n-----\t-----\t------\n"


def test_verbose_prints_request_and_answer(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    path = write(home, IRIS)
    assert '"uri": "gs://iris"' in run("model", "load", "-v", "-f", path).out
    assert run("model", "unload", "other", "-f", path, "-v").out == '{\n  "model": {\n    "name": "iris"\n  }\n}\n{}\n'


def test_a_model_without_a_server_says_so(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    run("model", "load", "-f", write(home, document("Model", "odd", requirements=["foobar"])))
    assert NO_SERVER in run("model", "list").out
    late = run("model", "status", "odd", "-w", "ModelAvailable", "-t", "0")
    assert (late.status, late.err) == (255, "Error: Model wait status timeout\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("model", "status", "nope"), "Failed to find model nope"),
        (("model", "unload", "nope"), "Model nope not found"),
        (("server", "status", "nope"), "Server [nope] not found"),
        (("pipeline", "status", "nope"), "pipeline nope not found"),
    ],
)
def test_the_scheduler_s_own_errors(
    run: Run, scheduler: MemoryScheduler, arguments: tuple[str, ...], text: str
) -> None:
    outcome = run(*arguments)
    assert outcome.status == 255
    assert outcome.err.endswith(f"Error: rpc error: code = FailedPrecondition desc = {text}\n")


def test_servers(run: Run, scheduler: MemoryScheduler) -> None:
    assert run("server", "list").out == "server\t\treplicas\tmodels\n------\t\t--------\t------\nmlserver\t1\t\t0\n"
    assert json.loads(run("server", "status", "mlserver").out)["resources"][0]["totalMemoryBytes"] == "1000"
    sentence = run("server", "status", "mlserver", "-o=false").out
    assert sentence == "mlserver loaded models 0 available replicas 1\n"
    assert '"name": "mlserver"' in run("server", "status", "-r", "mlserver", "--show-response=false").out
    assert "400" in run("server", "status", "mlserver", "--output", "table").out


def test_manifests_of_every_kind(
    run: Run, scheduler: MemoryScheduler, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(home, IRIS, document("Pipeline", "chain", steps=[{"name": "iris"}]))
    assert run("load", "-f", path).out == "{}\n{}\n"
    statuses = run("status", "-f", path).out
    assert '"modelName": "iris"' in statuses
    assert '"pipelineName": "chain"' in statuses
    assert '"status": "PipelineReady"' in run("status", "-f", path, "-w", "-t", "10").out
    monkeypatch.setattr("sys.stdin", io.StringIO(Path(path).read_text()))
    assert run("unload").out == ""
    assert not scheduler.pipelines


def test_what_the_scheduler_does_not_do_yet(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    outcome = run("load", "-f", write(home, document("Experiment", "ab", candidates=[{"name": "iris"}])))
    assert "Error: rpc error: code = Unimplemented desc = " in outcome.err


def test_loading_stops_at_the_first_error(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    outcome = run("load", "-f", write(home, IRIS, TYPO, document("Model", "third")))
    assert (outcome.status, outcome.out) == (255, "{}\n")
    assert 'Error: json: unknown field "storagUri" at spec.storagUri in document 2' in outcome.err
    assert list(scheduler.models) == ["iris"]


def test_a_pipeline_from_load_to_unload(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    path = write(home, document("Pipeline", "chain", steps=[{"name": "iris"}], output={"steps": ["iris"]}))
    loaded = run("pipeline", "load", "-f", path)
    assert (loaded.status, loaded.out) == (0, "")
    assert WARNING in loaded.err
    rows = [line.split(maxsplit=2) for line in run("pipeline", "list").out.splitlines()]
    assert rows[0] == ["pipeline", "state", "reason"]
    assert rows[2] == ["chain", "PipelineCreate", "no pipeline gateway connected"]

    waited = run("pipeline", "status", "chain", "-w", "PipelineReady", "-t", "10")
    assert (waited.status, waited.err) == (0, "")
    assert json.loads(waited.out)["versions"][0]["pipeline"]["output"] == {"steps": ["iris"]}
    assert "not all of its models are available" in run("pipeline", "list").out
    assert "PipelineReady" in run("pipeline", "status", "chain", "--output", "table").out
    assert json.loads(run("pipeline", "list", "--output", "json").out)["pipelineName"] == "chain"

    assert run("pipeline", "load", "-f", path, "-v").out.endswith("\n{}\n")
    assert scheduler.pipelines["chain"].pipeline.version == 2
    assert run("pipeline", "unload", "chain").out == ""
    assert run("pipeline", "list").out.splitlines()[2:] == []


def test_a_pipeline_that_does_not_get_there(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    run("pipeline", "load", "-f", write(home, document("Pipeline", "chain", steps=[{"name": "iris"}])))
    late = run("pipeline", "status", "chain", "-w", "PipelineFailed", "-t", "0")
    assert (late.status, late.out, late.err) == (255, "", "Error: Pipeline wait status timeout\n")


def test_loads_what_the_scheduler_refuses(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    outcome = run("pipeline", "load", "-f", write(home, document("Pipeline", "chain")))
    assert outcome.err.endswith(
        "Error: rpc error: code = FailedPrecondition desc = pipeline chain has no steps defined\n"
    )


def test_model_load_takes_models_only(run: Run, scheduler: MemoryScheduler, home: Path) -> None:
    outcome = run("model", "load", "-f", write(home, document("Pipeline", "p")))
    assert "Error: document 1: invalid kind 'Pipeline': must be Model" in outcome.err


def test_an_unreadable_file(run: Run, scheduler: MemoryScheduler) -> None:
    outcome = run("model", "load", "-f", "/nowhere/m.yaml")
    assert (outcome.status, outcome.out) == (255, "open /nowhere/m.yaml: no such file or directory\n")


@pytest.mark.parametrize(
    ("variables", "flags", "loaded"),
    [
        ({}, [], True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, [], False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, ["--force"], True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "SELDON_FORCE_CONTROL_PLANE": "true"}, [], True),
        ({"SELDON_FORCE_CONTROL_PLANE": "false"}, [], False),
        ({"SELDON_FORCE_CONTROL_PLANE": "false"}, ["--force=true"], True),
        ({}, ["--force=false"], False),
    ],
)
def test_force(
    run: Run,
    scheduler: MemoryScheduler,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    flags: list[str],
    loaded: bool,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    outcome = run("model", "load", "-f", write(home, IRIS), *flags)
    assert (outcome.status, "iris" in scheduler.models) == (0, loaded)
    assert WARNING in outcome.err
    assert ("Nothing was done" in outcome.err) is not loaded


def test_force_that_is_no_truth_value(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_FORCE_CONTROL_PLANE", "perhaps")
    outcome = run("model", "load", "-f", write(home, IRIS))
    assert outcome.status == 255
    assert "Error: invalid SELDON_FORCE_CONTROL_PLANE 'perhaps'" in outcome.err


def test_an_unreachable_scheduler(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = run("model", "list", "--scheduler-host", address)
    first, second = outcome.err.splitlines()
    assert outcome.status == 255
    assert first.startswith("Error: rpc error: code = Unavailable desc = ")
    assert address in second
    assert "--scheduler-host or SELDON_SCHEDULE_HOST" in second


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("model",), "model subcommand required"),
        (("explain",), "explain subcommand required"),
        (("model", "lod"), "No such command 'lod'. Did you mean 'load'"),
        (("model", "status"), "Missing argument 'name'."),
        (("model", "status", "a", "-w", "Ready"), "invalid --wait 'Ready': use one of ModelStateUnknown"),
        (("model", "status", "a", "--colour"), "No such option: --colour"),
        (("model", "unload"), "required a model name, or a manifest with -f <file-path>"),
        (("pipeline",), "pipeline subcommand required"),
        (("pipeline", "unload"), "required a pipeline name, or a manifest with -f <file-path>"),
        (("pipeline", "status", "a", "-w", "Ready"), "invalid --wait 'Ready': use one of PipelineStatusUnknown"),
        (("pipeline", "inspect", "a.b.c.d.e"), "Bad pipeline specifier a.b.c.d.e"),
        (("pipeline", "inspect", "a.b.c"), "Need to specify either inputs or outputs for a step"),
    ],
)
def test_usage_errors(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    outcome = run(*arguments)
    assert (outcome.status, outcome.out) == (255, "")
    assert outcome.err.splitlines()[-1].startswith(f"Error: {sentence}")


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("help",), ("model", "-h"), ("help", "model", "load"), ("model", "help", "infer")]
)
def test_help_is_everywhere(run: Run, arguments: tuple[str, ...]) -> None:
    outcome = run(*arguments)
    assert (outcome.status, outcome.err) == (0, "")
    assert "Usage: seldon" in outcome.out


def test_as_a_process() -> None:
    done = subprocess.run([sys.executable, "-m", "services.cli", "model"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (255, "", "Error: model subcommand required\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(run: Run, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_SELDON_COMPLETE", "")
    outcome = run("completion", shell)
    assert outcome.status == 0
    assert "_SELDON_COMPLETE" in outcome.out


EXPLANATION: dict[str, Any] = {
    "model": "iris",
    "version": 2,
    "state": "ScheduleFailed",
    "reason": NO_SERVER,
    "next_retry": "2026-01-01T00:00:00Z",
    "summary": "No server can take iris.",
    "routed_version": 1,
    "route": {"name": "iris", "acked": True, "error": None},
    "versions": [
        {
            "version": 1,
            "state": "ModelAvailable",
            "server": "mlserver",
            "replicas": [
                {"replica": 0, "state": "Available"},
                {
                    "replica": 1,
                    "state": "Loading",
                    "waits": {
                        "owner": "agent of mlserver/1",
                        "reason": "told to load it 3 times without an answer",
                        "due": "2026-01-01T00:02:00Z",
                    },
                },
            ],
        },
        {"version": 2, "state": "ScheduleFailed", "server": None, "replicas": []},
    ],
    "servers": [
        {
            "server": "triton",
            "accepted": False,
            "reason": "lacks [sklearn]",
            "replicas": [{"replica": 0, "accepted": False, "reason": "needs 100000 bytes, has 0 free"}],
        }
    ],
}


def test_explain(run: Run, http_peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_SCHEDULER_HTTP_HOST", http_peer.address)
    monkeypatch.setenv("COLUMNS", "160")
    http_peer.explanations["iris"] = EXPLANATION
    outcome = run("explain", "model", "iris")
    assert (outcome.status, outcome.err) == (0, "")
    for part in (
        "iris version 2: ScheduleFailed",
        "No server can take iris.",
        f"Reason: {NO_SERVER}",
        "Version 1 answers requests.",
        "Next attempt: 2026-01-01T00:00:00+00:00",
        "Version 1 on mlserver/1 waits for agent of mlserver/1: told to load it 3 times without an answer, by 2026",
        "lacks [sklearn]",
        "needs 100000 bytes, has 0 free",
    ):
        assert part in outcome.out
    assert json.loads(run("explain", "model", "iris", "--output", "json").out)["routed_version"] == 1
    assert run("explain", "model", "other").err == "Error: model other not found\n"


PIPELINE_FACTS: dict[str, Any] = {
    "pipeline": "chain",
    "version": 1,
    "status": "PipelineCreating",
    "reason": "",
    "models_ready": False,
    "summary": "Version 1 waits for model iris is not loaded.",
    "models": [{"model": "iris", "ready": False, "reason": "is not loaded"}, {"model": "add10", "ready": True}],
    "engines": {"connected": ["engine-0", "engine-1"], "awaited": []},
    "gateways": {"connected": ["gateway-0"], "members": [{"member": "gateway-0", "state": "told", "since": None}]},
    "versions": [{"version": 1, "members": [{"member": "engine-0", "state": "ready"}]}],
}


def test_explain_a_pipeline(run: Run, http_peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_SCHEDULER_HTTP_HOST", http_peer.address)
    monkeypatch.setenv("COLUMNS", "160")
    http_peer.explanations["chain"] = PIPELINE_FACTS
    outcome = run("explain", "pipeline", "chain")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[:7] == [
        "Version 1 waits for model iris is not loaded.",
        "Pipeline: chain",
        "Version: 1",
        "Status: PipelineCreating",
        "Models ready: no",
        "Engines: connected engine-0, engine-1, awaited -",
        "Gateways: connected gateway-0",
    ]
    for part in ("Gateways: Members", "gateway-0 │ told", "member engine-0, state ready", "is not loaded"):
        assert part in outcome.out
    assert json.loads(run("explain", "pipeline", "chain", "--output", "json").out) == PIPELINE_FACTS
    assert run("explain", "pipeline", "other").err == "Error: model other not found\n"


def test_explain_without_a_scheduler(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        outcome = run("explain", "model", "iris", "--scheduler-http-host", address)
    assert outcome.status == 255
    assert f"no scheduler answers at {address}" in outcome.err
