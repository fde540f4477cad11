"""Later commands know what was deployed: settings, kind and addresses, whatever their own environment says."""

import json
import stat
import subprocess
from pathlib import Path

import pytest

from compose import remembered, running, seldon_command
from compose.process.home import REPOSITORY, Home
from compose.process.settings import Settings, load, of_deployed
from compose.process.stack import Stack
from services.cli.config_file import parse_config
from shared.errors import InvalidInput
from tests.cli.peers import MemoryScheduler, scheduler_server

MANIFEST = str(REPOSITORY / "samples" / "models" / "tfsimple1.yaml")
VENVS = REPOSITORY / ".seldon" / "venvs"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("SELDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SELDON_VENVS", str(VENVS))
    for name in ("SELDON_PORT_OFFSET", "DATAFLOW_REPLICAS", "KAFKA"):
        monkeypatch.delenv(name, raising=False)
    return Home.of({"SELDON_VENVS": str(VENVS)}, root=tmp_path / "home")


def deployed_with(home: Home, **overrides: str) -> Settings:
    settings = load(overrides)
    remembered.remember(home, "process", settings)
    return settings


def test_settings_need_not_be_said_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed_with(home, SELDON_PORT_OFFSET="300", DATAFLOW_REPLICAS="3")
    monkeypatch.setenv("SELDON_PORT_OFFSET", "700")
    monkeypatch.setenv("KAFKA", "apahce")
    stack = Stack.deployed()
    assert stack.port("ENVOY_DATA_PORT") == 9300
    assert "dataflow-2" in {row.part for row in stack.status()}


def test_deploying_says_what_it_changes(home: Home) -> None:
    """Whoever forgets the offset the second time moves everything back."""
    now = load({"SELDON_PORT_OFFSET": "0", "DATAFLOW_REPLICAS": "1"})
    assert remembered.changes(home, "process", now) == []
    deployed_with(home, SELDON_PORT_OFFSET="300", DATAFLOW_REPLICAS="3", ENVOY_DATA_PORT="7000", SELDON_PASSWORD="x")
    assert remembered.changes(home, "process", now) == [
        "DATAFLOW_REPLICAS=1 (was 3)",
        "ENVOY_DATA_PORT=9000 (was 7300)",
        "SELDON_PASSWORD",
        "SELDON_PORT_OFFSET=0 (was 300)",
    ]


def test_where_nothing_is_deployed_settings_count(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_PORT_OFFSET", "700")
    assert Stack.deployed().port("ENVOY_DATA_PORT") == 9700
    deployed_with(home, SELDON_PORT_OFFSET="300")
    remembered.forget(home, "process")
    assert Stack.deployed().port("ENVOY_DATA_PORT") == 9700


def test_what_the_file_has_got_since_is_added(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SELDON_PORT_OFFSET=0\nOLD_PORT=1\nNEW_PORT=2\n")
    assert dict(of_deployed({"OLD_PORT": "301"}, file).values) == {
        "SELDON_PORT_OFFSET": "0", "OLD_PORT": "301", "NEW_PORT": "2",
    }  # fmt: skip
    file.write_text("OLD_PORT=spoilt\n")
    assert dict(of_deployed({"OLD_PORT": "301"}, file).values) == {"OLD_PORT": "301"}


def test_a_damaged_memory_is_as_good_as_none(home: Home) -> None:
    deployed_with(home)
    (file,) = (home.root / "deployed").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for content in ("", "[]", '{"settings": 1}'):
        file.write_text(content)
        assert remembered.recall(home, "process") is None


def test_the_kind_that_is_deployed_is_acted_on(home: Home) -> None:
    assert running.runtime_of("process") == "process"
    remembered.remember(home, "compose", load({}))
    assert running.runtime_of("auto") == "compose"
    remembered.remember(home, "process", load({}))
    with pytest.raises(InvalidInput, match="say RUNTIME=process or RUNTIME=compose"):
        running.runtime_of("auto")
    assert running.runtime_of("compose") == "compose"
    remembered.forget(home, "compose")
    assert running.runtime_of("auto") == "process"
    with pytest.raises(InvalidInput, match="RUNTIME"):
        running.runtime_of("podman")


def test_ending_one_kind_leaves_the_other(home: Home) -> None:
    """Its memory and its volumes: nothing asks Docker for anything."""
    remembered.remember(home, "compose", load({"SELDON_PORT_OFFSET": "500"}))
    deployed_with(home, SELDON_PORT_OFFSET="300")
    Stack.deployed().down(purge=True)
    assert remembered.deployed(home) == ["compose"]
    assert json.loads(seldon_command.addresses_file(home).read_text())["controlplane"]["schedulerHost"].endswith(
        ":9504"
    )


def test_all_four_addresses(home: Home) -> None:
    settings = deployed_with(home, SELDON_PORT_OFFSET="300", BIND_HOST="::1", SCHEDULER_SERVER_PORT="7004")
    known = parse_config(seldon_command.addresses_file(home).read_text(), "cli.json")
    assert (known.infer_host, known.scheduler_host) == ("[::1]:9300", "[::1]:7304")
    assert (known.scheduler_http_host, known.kafka_bootstrap) == ("[::1]:9314", "[::1]:9392")
    elsewhere = {"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2", "SELDON_POD_NAMESPACE": "mine"}
    known = parse_config(json.dumps(remembered.addresses(Settings({**settings.values, **elsewhere}))), "cli.json")
    assert (known.kafka_bootstrap, known.kafka_namespace) == ("a:1,b:2", "mine")


def seldon(home: Home, folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [str(seldon_command.command(home)), *arguments]
    environment["HOME"] = str(folder)
    return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_talks_to_its_own_deployment_unless_told_otherwise(home: Home, tmp_path: Path) -> None:
    """From anywhere, even from a folder that has such a package too."""
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise SystemExit('not this one')\n")
    own, other = MemoryScheduler(), MemoryScheduler()  # type: ignore[abstract]
    with scheduler_server(own) as address, scheduler_server(other) as elsewhere:
        deployed_with(home, SCHEDULER_SERVER_PORT=address.rpartition(":")[2])
        for scheduler, variables in ((own, {}), (other, {"SELDON_SCHEDULE_HOST": elsewhere})):
            seldon(home, tmp_path, "model", "load", "-f", MANIFEST, **variables)
            assert scheduler.models.keys() == {"tfsimple1"}
            assert len(scheduler.models["tfsimple1"]) == 1
        remembered.forget(home, "process")
        assert seldon(home, tmp_path, "model", "load", "-f", MANIFEST).returncode == 0
        assert (len(own.models["tfsimple1"]), len(other.models["tfsimple1"])) == (2, 1)


def test_a_command_that_was_only_installed_asks_nobody(home: Home, tmp_path: Path) -> None:
    seldon_command.install(home)
    done = seldon(home, tmp_path, "server", "list")
    assert (done.returncode, done.stdout) == (255, "")
    assert "nothing was deployed yet" in done.stderr


@pytest.mark.parametrize("kafka", ["broker.example:9092", "a:1,b:2"])
@pytest.mark.parametrize("target", ["status", "stop-dataflow-2", "help", "setup", "undeploy-local", "deploy-process"])
def test_an_address_under_the_name_kafka_breaks_no_target(target: str, kafka: str, tmp_path: Path) -> None:
    done = make(tmp_path, target, KAFKA=kafka)
    assert (done.returncode, done.stderr) == (0, "")
    assert load_with_environment(KAFKA=kafka) == "tansu"


def test_a_wrong_kind_of_broker_is_named(tmp_path: Path) -> None:
    assert "KAFKA=apahce is unknown" in make(tmp_path, "deploy-local", "KAFKA=apahce").stderr
    assert load_with_environment(KAFKA="apache") == "apache"


def make(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """What it would run, without running it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "KAFKA"):
            patch.delenv(name, raising=False)
        for name, value in {**environment, "SELDON_HOME": str(folder)}.items():
            patch.setenv(name, value)
        command = ["make", "--dry-run", "--no-print-directory", *arguments]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def load_with_environment(**environment: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("KAFKA", raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        return load()["KAFKA"]
