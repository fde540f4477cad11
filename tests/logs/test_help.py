"""`--help` of every service: each option once, with its meaning, its variables and its default."""

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.agent.settings import AgentSettings
from services.dataflow.settings import DataflowSettings
from services.hodometer import options
from services.hodometer.settings import settings_of
from services.hodometer_receiver.settings import ReceiverSettings
from services.modelgateway.settings import ModelGatewaySettings
from services.pipelinegateway.settings import PipelineGatewaySettings
from services.scheduler.settings import SchedulerSettings
from services.v1gateway.settings import V1GatewaySettings
from shared.settings import ServiceSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "agent": AgentSettings,
    "dataflow": DataflowSettings,
    "hodometer_receiver": ReceiverSettings,
    "modelgateway": ModelGatewaySettings,
    "pipelinegateway": PipelineGatewaySettings,
    "scheduler": SchedulerSettings,
    "v1gateway": V1GatewaySettings,
}


def entries(text: str) -> Iterator[tuple[str, str]]:
    """Each option as it is written, and what is said about it."""
    for entry in re.split(r"\n  (?=-)", text.partition("\noptions:")[2])[1:]:
        head, said, *more = re.split(r"  +|\n\s+", entry.strip())
        yield head, " ".join((said, *more))


@pytest.mark.parametrize("name", SERVICES)
def test_every_option_is_explained_once(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings = SERVICES[name]
    with pytest.raises(SystemExit) as ended:
        settings.load(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m services.{name} [OPTIONS]\n\n{text.splitlines()[2]}")
    found = dict(entries(text))
    assert len(found) == len(settings.model_fields) + 1
    for option, said in found.items():
        flags = re.findall(r"--[\w-]+", option)
        assert len(flags) <= 2, option
        assert all(flag == flag.lower() for flag in flags)
        assert re.match(r"(?!Also|Default)\w.*", said), f"{option} is not explained"
        assert option.startswith("-h") or re.search(r"[Dd]efault", said), option
        assert not re.search(r"\b(int|str|float|bool)\b", option)


def test_variables_and_defaults_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        AgentSettings.load(["--help"])
    found = dict(entries(capsys.readouterr().out))
    assert found["--memory-bytes NUMBER"] == "Memory for models in bytes. Also MEMORY_REQUEST; default 1000000."
    assert found["--server-type mlserver|triton"].endswith("Also SELDON_SERVER_TYPE; default mlserver.")
    assert found["--server-idx NUMBER"].endswith("Not set by default.")


def test_options_mean_what_they_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHEDULER_SERVER_PORT", "7")
    assert SchedulerSettings.load([]).scheduler_port == 7
    assert SchedulerSettings.load(["--scheduler-port", "8"]).scheduler_port == 8
    assert AgentSettings.load(["--use-deployments-for-servers"]).use_deployments_for_servers
    assert not AgentSettings.load(["--no-use-deployments-for-servers"]).use_deployments_for_servers


@pytest.mark.parametrize("module", ["scheduler", "hodometer"])
def test_a_process_says_it_and_ends(module: str) -> None:
    command = [sys.executable, "-m", f"services.{module}", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: python -m services.{module} ")


def test_the_collector_explains_every_variable_that_it_reads(capsys: pytest.CaptureFixture[str]) -> None:
    read: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
            read.add(name)
            return super().get(name, default)

    usual = {"SCHEDULER_PLAINTXT_PORT": "1", "SCHEDULER_TLS_PORT": "2", "CONTROL_PLANE_SECURITY_PROTOCOL": "SSL"}
    files = ("CLIENT_TLS_KEY", "CLIENT_TLS_CRT", "SERVER_TLS_CA")
    settings_of(Environment(usual | {f"CONTROL_PLANE_{file}_LOCATION": "/f" for file in files}))
    assert read - {"SCHEDULER_PORT"} <= options.MEANINGS.keys()
    with pytest.raises(SystemExit):
        options.parse(["--help"])
    assert all(
        f"  {name}\n      {text}\n" in capsys.readouterr().out + "\n"
        for name, text in list(options.MEANINGS.items())[:1]
    )
    with pytest.raises(SystemExit) as refused:
        options.parse(["--level", "cluster"])
    assert refused.value.code == 2
