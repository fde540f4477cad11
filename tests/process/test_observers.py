"""Usage metrics and Prometheus as parts: on unless told otherwise, and nobody else notices either way."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from compose.process import monitoring, parts, settings
from compose.process.__main__ import up
from compose.process.home import Home
from compose.process.program import Program
from compose.process.stack import Stack
from compose.prometheus import install
from services.hodometer.core.fields import Level
from services.hodometer.settings import settings_of
from services.hodometer_receiver.settings import ReceiverSettings
from shared.errors import InvalidInput

USUAL = {"SELDON_PORT_OFFSET": "0", "COMPOSE_PROFILES": "usage,monitoring"}
CLUSTER = "7d8e1a0e-8d54-4c63-9c2f-5f5b6b1d6f11"


def programs(folder: Path, venvs: Path | None = None, **overrides: str) -> dict[str, Program]:
    home = Home.of({"SELDON_VENVS": str(venvs)} if venvs else {}, root=folder)
    made = parts.programs(settings.load({**USUAL, **overrides}), home, None)
    return {program.name: program for program in made}


def executable(file: Path, script: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """The folder of a deployment with a Prometheus of its own."""
    executable(install.folder(Home.of({}, root=tmp_path)) / "usr" / "bin" / "prometheus")
    return tmp_path


def differences(some: Mapping[str, Program], more: Mapping[str, Program]) -> set[str]:
    """Names that only `more` has. What both have is the same in both."""
    assert {name: more[name] for name in some} == some
    return set(more) - set(some)


def test_the_hodometer_is_told_the_scheduler_and_the_local_receiver_only(tmp_path: Path) -> None:
    """Nothing leaves the machine that a setting does not name."""
    made = programs(tmp_path, BIND_HOST="0.0.0.0", SELDON_PORT_OFFSET="10")
    understood = settings_of(made["hodometer"].environment)
    assert understood.scheduler_target == "127.0.0.1:9014"
    assert understood.destinations == ("http://127.0.0.1:8011",)
    assert (understood.level, understood.cluster_id) == (Level.FEATURE, None)
    assert made["hodometer"].ports == ()


def test_the_hodometer_follows_its_settings(tmp_path: Path) -> None:
    """The user says which identifier, how much, and who else gets it."""
    made = programs(
        tmp_path,
        CLUSTER_ID=CLUSTER,
        HODOMETER_METRICS_LEVEL="cluster",
        HODOMETER_LOG_LEVEL="debug",
        HODOMETER_EXTRA_PUBLISH_URLS="https://a.example, stdout:",
    )
    understood = settings_of(made["hodometer"].environment)
    assert (str(understood.cluster_id), understood.level, understood.log_level) == (CLUSTER, Level.CLUSTER, "debug")
    assert understood.destinations == ("http://127.0.0.1:8001", "https://a.example", "stdout:")


def test_the_receiver_follows_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = programs(tmp_path, HODOMETER_RECEIVER_RECORD_LEVEL="summary", BIND_HOST="127.0.0.2", SELDON_PORT_OFFSET="3")
    for name, value in made["hodometer-receiver"].environment.items():
        monkeypatch.setenv(name, value)
    understood = ReceiverSettings.load([])
    assert (understood.host, understood.listen_port) == ("127.0.0.2", 8004)
    assert understood.record_level.value == "SUMMARY"
    assert made["hodometer-receiver"].ports == (8004,)


def test_one_switch_takes_usage_metrics_away_and_changes_no_other_part(tmp_path: Path) -> None:
    gone = differences(programs(tmp_path, COMPOSE_PROFILES="monitoring"), programs(tmp_path))
    assert gone == {"hodometer", "hodometer-receiver"}


def test_one_switch_takes_prometheus_away_and_changes_no_other_part(unpacked: Path) -> None:
    assert differences(programs(unpacked, COMPOSE_PROFILES="usage"), programs(unpacked)) == {"prometheus"}


def test_one_switch_adds_a_pushgateway_for_each_user(unpacked: Path) -> None:
    """Prometheus asks them, and nothing that is not there; no other part changes."""
    home = Home.of({}, root=unpacked)
    profiles = "usage,monitoring,pushgateways"
    assert differences(programs(unpacked), programs(unpacked, COMPOSE_PROFILES=profiles)) == set()
    with_them = settings.load({**USUAL, "COMPOSE_PROFILES": profiles})
    assert "pushgateway" not in monitoring.config(with_them, home)
    executable(install.folder(home, install.PUSHGATEWAY) / "usr" / "bin" / "prometheus-pushgateway")
    made = programs(unpacked, COMPOSE_PROFILES=profiles, SELDON_PORT_OFFSET="5", BIND_HOST="::1")
    assert programs(unpacked, SELDON_PORT_OFFSET="5", BIND_HOST="::1").keys() ^ made.keys() == {
        "pushgateway-alice", "pushgateway-bob",
    }  # fmt: skip
    assert "--web.listen-address=[::1]:9197" in made["pushgateway-bob"].command
    assert made["pushgateway-alice"].ready_url == "http://[::1]:9196/-/ready"
    assert [made[f"pushgateway-{user}"].ports for user in ("alice", "bob")] == [(9196,), (9197,)]
    assert "127.0.0.1:9192" in monitoring.config(with_them, home)
    assert "pushgateway" not in monitoring.config(settings.load(USUAL), home)


def test_a_group_of_parts_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="invalid COMPOSE_PROFILES 'usages': name some of gpu, monitoring"):
        programs(tmp_path, COMPOSE_PROFILES="monitoring, usages")


def test_prometheus_listens_and_keeps_its_data_where_the_settings_say(unpacked: Path) -> None:
    made = programs(unpacked, BIND_HOST="::1", SELDON_PORT_OFFSET="5")["prometheus"]
    home = Home.of({}, root=unpacked)
    assert made.command[0] == str(install.folder(home) / "usr/bin/prometheus")
    assert "--web.listen-address=[::1]:9095" in made.command
    assert f"--storage.tsdb.path={home.data / 'prometheus'}" in made.command
    assert any(option.startswith("--storage.tsdb.retention.size=") for option in made.command)
    assert (made.ready_url, made.ports) == ("http://[::1]:9095/-/ready", (9095,))


def test_a_changed_configuration_restarts_prometheus(unpacked: Path) -> None:
    home = Home.of({}, root=unpacked)
    home.run.mkdir()
    written = monitoring.config_file(home)
    written.write_text(monitoring.config(settings.load(USUAL), home))
    before = programs(unpacked)["prometheus"]
    assert programs(unpacked)["prometheus"] == before
    written.write_text(monitoring.config(settings.load({**USUAL, "DATAFLOW_REPLICAS": "2"}), home))
    assert programs(unpacked)["prometheus"] != before


def test_a_machine_without_prometheus_has_everything_else(tmp_path: Path) -> None:
    assert differences(programs(tmp_path, COMPOSE_PROFILES="usage"), programs(tmp_path)) == set()


def test_a_deployment_takes_the_unpacked_one_first(unpacked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what somebody installed where there is no package, which tests never look at."""
    other = executable(unpacked / "tools" / "prometheus")
    monkeypatch.setenv("PATH", str(other.parent))
    home = Home.of({}, root=unpacked)
    own = str(install.folder(home) / "usr/bin/prometheus")
    assert install.find("prometheus", home) == install.unpacked("prometheus", home) == own
    Path(own).unlink()
    assert install.find("prometheus", home) == str(other)
    assert install.unpacked("prometheus", home) is None


def test_an_unpacked_package_is_found_and_half_of_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`apt-get` and `dpkg-deb` stand in for Debian's, which need its servers."""
    home, tools = Home.of({}, root=tmp_path / "home"), tmp_path / "tools"
    executable(tools / "apt-get", 'case "$*" in *download*) : > prometheus.deb;; esac')
    packed = 'mkdir -p "$3/usr/bin"; for name in prometheus promtool; do : > "$3/usr/bin/$name"; done'
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")

    executable(tools / "dpkg-deb", f"{packed}; exit 2")
    with pytest.raises(install.NotInstalled):
        install.install(home)
    assert install.find("prometheus", home) is None

    executable(tools / "dpkg-deb", packed)
    install.install(home)
    assert install.find("prometheus", home) == str(install.folder(home) / "usr/bin/prometheus")
    assert [file.name for file in install.folder(home).iterdir()] == ["usr"]


def test_a_new_machine_needs_no_rights_for_its_package_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`apt-get` knows no package before it has made lists, and here it may make them in folders of ours only."""
    home, tools = Home.of({}, root=tmp_path / "home"), tmp_path / "tools"
    lists = (
        'for each; do case $each in -oDir::State::Lists=*) lists=${each#*=};; esac; done; test -n "$lists" || exit 100'
    )
    made = 'case "$*" in *update*) : > "$lists/made";; *download*) test -e "$lists/made" && : > prometheus.deb;; esac'
    executable(tools / "apt-get", f"{lists}\n{made}")
    unpack = 'mkdir -p "$3/usr/bin"; for name in prometheus promtool; do : > "$3/usr/bin/$name"; done'
    executable(tools / "dpkg-deb", unpack)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    install.install(home)
    assert install.unpacked("promtool", home) is not None


def test_deploying_says_what_is_missing_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither Prometheus nor a way to have it."""
    executable(tmp_path / "apt-get", "echo 'W: something else' >&2; echo 'E: no servers here' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SELDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SELDON_VENVS", str(tmp_path / "venvs"))
    for name, value in USUAL.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Stack, "up", lambda self: [program.name for program in self._programs()])
    monkeypatch.setattr(Stack, "wait_ready", lambda self, timeout, report: None)
    up(samples=False)
    said = capsys.readouterr().out
    assert "prometheus is left out, everything else runs without it: E: no servers here\n" in said
    assert install.remedy() in said
    assert "hodometer" in said
    started = next(line for line in said.splitlines() if line.startswith("started"))
    assert "prometheus" not in started


@pytest.mark.monitoring
def test_prometheus_takes_the_options(tmp_path: Path) -> None:
    """The one that the project fetches starts with the part's command, apart from the port."""
    made = programs(tmp_path, venvs=Home.of(os.environ).venvs)["prometheus"]
    home = Home.of({}, root=tmp_path)
    home.run.mkdir()
    monitoring.config_file(home).write_text("not: a configuration\n")
    done = subprocess.run(made.command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=60)
    assert done.returncode != 0
    assert "field not not found" in done.stderr
