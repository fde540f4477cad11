"""The example programs run as they are, and the workflow's steps too, with their file in an S3 store between them."""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hera.workflows.models import Workflow

from compose.process.home import REPOSITORY, Home
from tests.peers.ports import free_port
from tests.peers.pushgateway import Pushgateway
from tests.simplepipe.environment import PROJECT, Environment

SAMPLES = REPOSITORY / "samples" / "simplepipe"
WORKFLOW = yaml.safe_load((SAMPLES / "workflow.yaml").read_text())
ACCESS, SECRET = "access", "secret"


def test_a_program_that_writes_a_file(environment: Environment, gateway: Pushgateway, tmp_path: Path) -> None:
    file = tmp_path / "metric-in.json"
    done = environment.run("python3", str(SAMPLES / "count_images.py"), str(file), "--images", "50", where=tmp_path)
    assert done.code == 0, done.stderr
    env = {"PUSH_GATEWAY_HOSTNAME": gateway.url}
    done = environment.run("simplepipe", "push", str(file), "count-images", where=tmp_path, env=env)
    assert (done.code, done.stdout) == (0, f"pushed 6 metrics as job count-images to {gateway.url}\n")
    shown = gateway.shown("count-images")
    assert shown['images_processed{kind="bright"}'] + shown['images_processed{kind="dark"}'] == 50
    assert shown["data_bytes"] == 50 * 24 * 24


def test_a_training_that_pushes_meanwhile(environment: Environment, gateway: Pushgateway, tmp_path: Path) -> None:
    options = ("--gateway", gateway.url, "--model", "sample", "--epochs", "3", "--pause", "0")
    done = environment.run("python3", str(SAMPLES / "train.py"), *options, where=tmp_path)
    assert done.code == 0, done.stderr
    shown = gateway.shown("train", model="sample")
    assert shown["model_accuracy_ratio"] > 0.8
    assert (shown["training_progress_ratio"], shown["epoch_seconds_count"], shown["run_succeeded"]) == (1, 3, 1)


def test_a_measured_function(environment: Environment, gateway: Pushgateway, tmp_path: Path) -> None:
    done = environment.run("python3", str(SAMPLES / "measured.py"), gateway.url, where=tmp_path)
    assert done.code == 0, done.stderr
    assert gateway.shown("nightly-report", team="reports")["run_succeeded"] == 1


def test_the_file_of_the_slides(environment: Environment, gateway: Pushgateway) -> None:
    env = {"PUSH_GATEWAY_HOSTNAME": gateway.url}
    assert (
        environment.run("python3", str(PROJECT / "app.py"), "metric-in.json", "slides", where=SAMPLES, env=env).code
        == 0
    )
    assert gateway.shown("slides") == {"example_metric": 0}


def test_the_workflow_has_nothing_that_argo_does_not_know() -> None:
    """What its models read of it is all of it."""
    read = Workflow.model_validate(WORKFLOW).model_dump(by_alias=True, exclude_unset=True, mode="json")
    assert read == WORKFLOW
    # What is misspelt is missing from what they read.
    wrong = yaml.safe_load((SAMPLES / "workflow.yaml").read_text().replace("inputs:", "input:"))
    assert Workflow.model_validate(wrong).model_dump(by_alias=True, exclude_unset=True, mode="json") != wrong


def test_the_workflow_pushes_an_artifact() -> None:
    (push,) = (template for template in WORKFLOW["spec"]["templates"] if template["name"] == "push-metrics")
    (artifact,) = push["inputs"]["artifacts"]
    assert (artifact["s3"]["key"], artifact["path"]) == ("metric-json", "/tmp/metric-in.json")
    assert push["container"]["command"] + push["container"]["args"] == [
        "python3", "app.py", "/tmp/metric-in.json", "simple",
    ]  # fmt: skip
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]["simplepipe"]
    assert compose["image"].partition(":")[0] == push["container"]["image"].partition(":")[0]


def test_the_workflow_s_steps_run(environment: Environment, gateway: Pushgateway, tmp_path: Path) -> None:
    """Each step sees what the store gives it and nothing else, as in containers of their own."""
    templates = {template["name"]: template for template in WORKFLOW["spec"]["templates"]}
    with object_store(tmp_path) as store:
        for (step,) in templates[WORKFLOW["spec"]["entrypoint"]]["steps"]:
            folder = tmp_path / step["name"]
            folder.mkdir()
            run_step(templates[step["template"]], folder, environment, store, gateway.url)
    shown = gateway.shown("simple")
    assert (shown["images_processed"], shown["data_bytes"]) == (1000, sum(number % 256 for number in range(1000)))
    assert "run_time_seconds" in shown


def run_step(
    template: Mapping[str, Any], folder: Path, environment: Environment, store: Mapping[str, str], gateway: str
) -> None:
    """`folder` stands for the container's /tmp."""
    for artifact in template.get("inputs", {}).get("artifacts", []):
        rclone(store, "copyto", address(artifact), inside(artifact["path"], folder))
    if "script" in template:
        script = folder / "script.py"
        script.write_text(inside(template["script"]["source"], folder))
        done = environment.run(*template["script"]["command"], str(script), where=folder)
    else:
        container = template["container"]
        env = {variable["name"]: variable["value"] for variable in container["env"]}
        assert env.keys() == {"PUSH_GATEWAY_HOSTNAME"}
        arguments = [inside(argument, folder) for argument in container["args"]]
        done = environment.run(*container["command"], *arguments, where=PROJECT, env={"PUSH_GATEWAY_HOSTNAME": gateway})
    assert done.code == 0, done.stderr
    for artifact in template.get("outputs", {}).get("artifacts", []):
        rclone(store, "copyto", inside(artifact["path"], folder), address(artifact))


def inside(text: str, folder: Path) -> str:
    return text.replace("/tmp/", f"{folder}/")


def address(artifact: Mapping[str, Any]) -> str:
    return f"store:{artifact['s3']['bucket']}/{artifact['s3']['key']}"


@contextmanager
def object_store(folder: Path) -> Iterator[dict[str, str]]:
    """rclone's S3 server with the workflow's bucket; gives the environment that makes it rclone's remote `store`."""
    (folder / "buckets" / "artifacts").mkdir(parents=True)
    port = free_port()
    command = [
        "serve",
        "s3",
        str(folder / "buckets"),
        "--addr",
        f"127.0.0.1:{port}",
        "--auth-key",
        f"{ACCESS},{SECRET}",
    ]
    remote = {
        "RCLONE_CONFIG_STORE_TYPE": "s3", "RCLONE_CONFIG_STORE_PROVIDER": "Rclone",
        "RCLONE_CONFIG_STORE_ENDPOINT": f"http://127.0.0.1:{port}", "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": ACCESS,
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": SECRET,
    }  # fmt: skip
    log = folder / "rclone.log"
    with log.open("wb") as file, subprocess.Popen(
        [program(), *command], env=bare({}), stdout=file, stderr=file
    ) as process:  # fmt: skip
        try:
            until_it_answers(port, process, log)
            yield remote
        finally:
            process.terminate()


def until_it_answers(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}", timeout=5, trust_env=False)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def rclone(remote: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run(
        [program(), *arguments], env=bare(remote), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def program() -> str:
    return str(Home.of(os.environ).program("main", "rclone"))


def bare(more: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "RCLONE_CONFIG": "/dev/null", **more}


@pytest.mark.parametrize("name", ["count_images.py", "train.py", "measured.py", "metric-in.json", "workflow.yaml"])
def test_the_page_tells_of_every_sample(name: str) -> None:
    assert name in (REPOSITORY / "docs" / "simplepipe.md").read_text()
