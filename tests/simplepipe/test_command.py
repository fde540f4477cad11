"""`python3 app.py FILE JOB` and `simplepipe push FILE JOB`: what they print, and their exit status."""

import json
from pathlib import Path

import pytest

from tests.peers.ports import free_port
from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import PROJECT, Environment, Outcome

APP = str(PROJECT / "app.py")
METRICS = [
    {"name": "example_metric", "description": "metric for example purposes", "value": "6", "metric_type": "gauge"}
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "metric-in.json"
    written.write_text(json.dumps(METRICS))
    return written


def push(environment: Environment, gateway: str, *arguments: str, where: Path, **env: str) -> Outcome:
    return environment.run("simplepipe", "push", *arguments, where=where, env={"PUSH_GATEWAY_HOSTNAME": gateway, **env})


def test_the_command_of_the_slides(environment: Environment, gateway: Pushgateway, file: Path, job: str) -> None:
    env = {"PUSH_GATEWAY_HOSTNAME": gateway.url}
    done = environment.run("python3", APP, str(file), job, where=file.parent, env=env)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == f"pushed 1 metrics as job {job} to {gateway.url}\n"
    assert gateway.shown(job) == {"example_metric": 6}


def test_pushing_and_deleting(environment: Environment, gateway: Pushgateway, file: Path, job: str) -> None:
    done = push(environment, gateway.url, str(file), job, "--grouping", "run=1", where=file.parent)
    assert done.code == 0, done.stderr
    assert gateway.shown(job, run="1") == {"example_metric": 6}
    env = {"PUSH_GATEWAY_HOSTNAME": gateway.url}
    done = environment.run("simplepipe", "delete", job, "--grouping", "run=1", where=file.parent, env=env)
    assert done.stdout == f"deleted job {job} from {gateway.url}\n"
    assert job not in gateway.jobs()


def test_a_dry_run_prints_the_exposition_and_pushes_nothing(environment: Environment, file: Path) -> None:
    done = push(environment, "nowhere.invalid:1", "--dry-run", str(file), "job", where=file.parent)
    assert (done.code, done.stderr) == (0, "")
    assert (
        done.stdout
        == "# HELP example_metric metric for example purposes\n# TYPE example_metric gauge\nexample_metric 6.0\n"
    )


def test_settings_come_from_the_environment_and_from_a_file(
    environment: Environment, gateway: Pushgateway, file: Path, job: str
) -> None:
    (file.parent / ".env").write_text(f"# ours\nPUSH_GATEWAY_HOSTNAME={gateway.url}\nPROD_ENABLED=true\nOTHER=x\n")
    done = environment.run("python3", APP, str(file), job, where=file.parent)
    assert done.code == 0, done.stderr
    assert gateway.shown(job) == {"example_metric": 6}
    # The environment wins: there is no gateway there.
    elsewhere = f"127.0.0.1:{free_port()}"
    done = push(environment, elsewhere, str(file), job, where=file.parent, PUSH_GATEWAY_DEADLINE_SECONDS="0")
    assert done.code == 1
    assert f"http://{elsewhere}" in done.stderr


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (
            {"PROD_ENABLED": "true"},
            "invalid PUSH_GATEWAY_HOSTNAME '': with PROD_ENABLED it has to name the Pushgateway",
        ),
        ({"PROD_ENABLED": "perhaps"}, "invalid PROD_ENABLED 'perhaps'"),
        ({"PUSH_GATEWAY_HOSTNAME": "ftp://x"}, "invalid address of the Pushgateway 'ftp://x'"),
        ({"PUSH_GATEWAY_TIMEOUT_SECONDS": "0"}, "invalid timeout 0.0: give seconds, more than 0"),
        ({"PUSH_GATEWAY_DEADLINE_SECONDS": "-1"}, "invalid deadline -1.0"),
        ({"PUSH_GATEWAY_PASSWORD": "secret"}, "invalid PUSH_GATEWAY_USERNAME ''"),
        ({"PUSH_GATEWAY_HOSTNAME": "https://x", "PUSH_GATEWAY_CA_FILE": "/absent"}, "invalid file of authorities"),
        ({"PUSH_GATEWAY_HOSTNAME": "https://x", "PUSH_GATEWAY_CERT_FILE": "/absent"}, "invalid certificate"),
    ],
)
def test_a_wrong_setting_is_named(environment: Environment, file: Path, env: dict[str, str], said: str) -> None:
    done = environment.run("simplepipe", "push", str(file), "job", where=file.parent, env=env)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"simplepipe: {said}"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metrics.csv", "a,b", "Invalid filetype '.csv'"),
        ("metrics.json", "[{", "is not JSON"),
        ("metrics.json", "{}", "this is an object"),
        (
            "metrics.json",
            json.dumps([{**METRICS[0], "metric_type": "counter"}]),
            "metric 1 'example_metric': metric_type",
        ),
        ("absent.json", None, "cannot read"),
    ],
)
def test_a_bad_file(
    environment: Environment, gateway: Pushgateway, tmp_path: Path, job: str, name: str, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    done = environment.run("python3", APP, name, job, where=tmp_path, env={"PUSH_GATEWAY_HOSTNAME": gateway.url})
    assert (done.code, done.stdout) == (3, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert job not in gateway.jobs()


def test_a_gateway_that_is_away(environment: Environment, file: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = push(environment, address, str(file), "job", where=file.parent, PUSH_GATEWAY_DEADLINE_SECONDS="0.3")
    assert (done.code, done.stdout) == (1, "")
    assert f"the Pushgateway at http://{address} does not answer" in done.stderr
    assert "tried 2 times in 0.3 s" in done.stderr
    assert "PUSH_GATEWAY_HOSTNAME" in done.stderr


def test_a_gateway_that_refuses(environment: Environment, gateway: Pushgateway, file: Path, job: str) -> None:
    """Another job showed the same name as another type, which Prometheus could not read."""
    first = push(environment, gateway.url, str(file), job, where=file.parent)
    assert first.code == 0
    file.write_text(json.dumps([{**METRICS[0], "metric_type": "summary"}]))
    done = push(environment, gateway.url, str(file), f"{job}-2", where=file.parent)
    assert done.code == 4
    assert "the Pushgateway refused PUT" in done.stderr
    assert "mend what it names" in done.stderr
    assert gateway.shown(f"{job}-2") == {}


@pytest.mark.parametrize("arguments", [[], ["push"], ["push", "a.json"], ["push", "a.json", "j", "k"], ["pull"]])
def test_wrong_arguments(environment: Environment, tmp_path: Path, arguments: list[str]) -> None:
    done = environment.run("simplepipe", *arguments, where=tmp_path)
    assert done.code == 2
    assert done.stderr.startswith("usage: ")


def test_a_wrong_grouping(environment: Environment, file: Path) -> None:
    done = environment.run("simplepipe", "push", str(file), "job", "--grouping", "run", where=file.parent)
    assert (done.code, done.stderr) == (2, "simplepipe: invalid --grouping 'run': write NAME=VALUE\n")
