"""`config`: the registry of configuration files and what an active one changes."""

import json
from pathlib import Path

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
