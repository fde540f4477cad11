"""`config`: the registry of configuration files and what an active one changes."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.peers import MemoryScheduler, scheduler_server


def test_the_life_of_a_configuration(run: Run, home: Path) -> None:
    assert run("config", "list").out == "config\tpath\tactive\n------\t----\t------\n"
    assert run("config", "add", "one", "/a/one.json").status == 0
    registry = home / ".config/seldon/cli/configs.json"
    assert json.loads(registry.read_text()) == {"configs": {"one": "/a/one.json"}, "active": ""}
    assert run("config", "activate", "one").status == 0
    assert run("config", "list").out.splitlines()[-1] == "one\t/a/one.json\t*"
    assert run("config", "deactivate", "one").status == 0
    assert json.loads(registry.read_text())["active"] == ""
    run("config", "activate", "one")
    assert run("config", "remove", "one").status == 0
    assert json.loads(registry.read_text()) == {"configs": {}, "active": ""}


def test_unknown_keys(run: Run) -> None:
    for command in ("activate", "deactivate", "list"):
        outcome = run("config", command, "two")
        assert (outcome.status, outcome.err) == (255, "Error: Config key two not found\n")


def test_one_file_is_shown_with_what_this_tool_knows(run: Run, home: Path) -> None:
    path = home / "one.json"
    path.write_text('{"controlplane":{"schedulerHost":"a:1","colour":"red"},"other":1}')
    run("config", "add", "one", str(path))
    assert run("config", "list", "one").out == '{\n  "controlplane": {\n    "schedulerHost": "a:1"\n  }\n}\n'


def test_an_active_file_beats_the_environment_and_a_flag_beats_it(
    run: Run, scheduler: MemoryScheduler, home: Path
) -> None:
    other_scheduler = MemoryScheduler()  # type: ignore[abstract]
    with scheduler_server(other_scheduler) as other:
        path = home / "one.json"
        path.write_text(json.dumps({"controlplane": {"schedulerHost": "127.0.0.1:1"}}))
        run("config", "add", "one", str(path))
        assert run("server", "list").status == 0
        run("config", "activate", "one")
        assert "no scheduler answers at 127.0.0.1:1" in run("server", "list").err
        assert run("server", "list", "--scheduler-host", other).status == 0


def shown(run: Run) -> list[list[str]]:
    rows = run("config", "addresses").out.splitlines()[2:]
    return [[column for column in row.split("\t") if column] for row in rows]


def test_the_addresses_in_use_and_what_says_so(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(run) == [
        ["scheduler", "0.0.0.0:9004", "default"],
        ["data plane", "0.0.0.0:9000", "default"],
        ["scheduler over HTTP", "0.0.0.0:9014", "default"],
        ["kafka", "127.0.0.1:9092", "default"],
    ]
    own, active = home / "cli.json", home / "one.json"
    own.write_text(
        '{"dataplane": {"inferHost": "h:1"}, "controlplane": {"schedulerHost": "h:2", "schedulerHttpHost": "h:3"}, '
        '"kafka": {"bootstrap": "h:4"}}'
    )
    monkeypatch.setenv("SELDON_DEPLOYMENT", str(own))
    assert [address for _, address, _ in shown(run)] == ["h:2", "h:1", "h:3", "h:4"]
    active.write_text('{"controlplane": {"schedulerHost": "a:1"}}')
    run("config", "add", "one", str(active))
    run("config", "activate", "one")
    monkeypatch.setenv("SELDON_INFER_HOST", "b:1")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "c:1,d:1")
    assert shown(run) == [
        ["scheduler", "a:1", "the active configuration"],
        ["data plane", "b:1", "SELDON_INFER_HOST"],
        ["scheduler over HTTP", "h:3", "the deployment of this command"],
        ["kafka", "c:1,d:1", "KAFKA_BOOTSTRAP_SERVERS"],
    ]


def test_before_a_deployment_nothing_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_DEPLOYMENT", "/nowhere/cli.json")
    outcome = run("model", "list")
    assert outcome.status == 255
    assert "nothing was deployed yet" in outcome.err


def test_an_active_file_that_is_gone(run: Run) -> None:
    run("config", "add", "one", "/nowhere/one.json")
    run("config", "activate", "one")
    assert run("model", "list").err == "Error: open /nowhere/one.json: no such file or directory\n"


def test_a_damaged_registry(run: Run, home: Path) -> None:
    folder = home / ".config/seldon/cli"
    folder.mkdir(parents=True)
    for content in ("{", "[]", '{"configs": 1}'):
        (folder / "configs.json").write_text(content)
        outcome = run("config", "list")
        assert outcome.status == 255
        assert "configs.json is damaged" in outcome.err
