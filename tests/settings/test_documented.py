"""Launchers and charts that exist start these services: every flag and variable that they may pass is accepted."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from services.agent.settings import AgentSettings
from services.dataflow.settings import DataflowSettings
from services.modelgateway.settings import ModelGatewaySettings
from services.pipelinegateway.settings import PipelineGatewaySettings
from services.scheduler.settings import SchedulerSettings
from shared.errors import InvalidInput
from shared.settings import ServiceSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "scheduler": SchedulerSettings,
    "agent": AgentSettings,
    "modelgateway": ModelGatewaySettings,
    "pipelinegateway": PipelineGatewaySettings,
    "dataflow": DataflowSettings,
}
NONE = "-"


class Row(NamedTuple):
    service: str
    flag: str
    variable: str
    value: str
    field: str
    becomes: str

    @property
    def argument(self) -> str:
        return f"--{self.flag}={self.value}" if self.value else f"--{self.flag}"


def documented() -> Iterator[Row]:
    lines = (Path(__file__).parent / "documented.tsv").read_text().splitlines()
    rows = csv.reader([line for line in lines if not line.startswith("#")], delimiter="\t", quoting=csv.QUOTE_NONE)
    next(rows)
    return (Row(*row) for row in rows)


ROWS = list(documented())


@pytest.fixture(autouse=True)
def _nothing_else_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("SELDON_", "KAFKA_", "POD_", "ENVOY_", "CONTROL_PLANE_", "LOG_LEVEL")):
            monkeypatch.delenv(name)


def check(row: Row, settings: ServiceSettings, name: str) -> None:
    if row.field == NONE:
        assert settings.ignored[name]
    else:
        assert not settings.ignored
        assert str(getattr(settings, row.field)) == row.becomes


@pytest.mark.parametrize("row", [row for row in ROWS if row.flag], ids=lambda row: f"{row.service} {row.argument}")
@pytest.mark.parametrize("dashes", ["--", "-"])
def test_flags(row: Row, dashes: str) -> None:
    argument = row.argument.replace("--", dashes, 1)
    check(row, SERVICES[row.service].load([argument]), f"--{row.flag}")


@pytest.mark.parametrize("row", [row for row in ROWS if row.variable], ids=lambda row: f"{row.service} {row.variable}")
def test_variables(row: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(row.variable, row.value)
    check(row, SERVICES[row.service].load([]), row.variable)


@pytest.mark.parametrize("service", SERVICES)
def test_all_at_once_each_value_behind_its_flag(service: str) -> None:
    """Later ones win; no value is taken for a flag or the other way round."""
    rows = [row for row in ROWS if row.service == service and row.flag and row.value not in ("true", "false", "")]
    settings = SERVICES[service].load([part for row in rows for part in (f"--{row.flag}", row.value)])
    assert set(settings.ignored) == {f"--{row.flag}" for row in rows if row.field == NONE}
    for row in rows:
        if row.field != NONE:
            assert str(getattr(settings, row.field)) == row.becomes


def test_a_switch_takes_no_argument_for_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    settings = SchedulerSettings.load(["--enable-pprof", "--log-level", "debug"])
    assert (settings.log_level, list(settings.ignored)) == ("debug", ["--enable-pprof"])
    with pytest.raises(SystemExit):
        SchedulerSettings.load(["--enable-pprof", "debug"])


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("argument", ["--unheard-of=1", "--envoy-prot=1"])
def test_other_flags_are_refused_as_ever(service: str, argument: str) -> None:
    with pytest.raises(SystemExit) as ended:
        SERVICES[service].load([argument])
    assert ended.value.code == 2


@pytest.mark.parametrize("service", SERVICES)
def test_who_asks_for_encryption_is_told_that_there_is_none(
    service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CONTROL_PLANE_SECURITY_PROTOCOL", "SSL")
    with pytest.raises(SystemExit):
        SERVICES[service].load([])
    assert "setting CONTROL_PLANE_SECURITY_PROTOCOL: nothing is encrypted" in capsys.readouterr().err


def test_plaintext_cannot_be_forbidden(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        SchedulerSettings.load(["--allow-plaintxt=false"])
    assert "--allow-plaintxt: nothing is encrypted" in capsys.readouterr().err


def test_the_scaling_file_tells_how_many_share_a_resource(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def multiplier(path: Path) -> int:
        return SchedulerSettings.load([f"--scaling-config-path={path}"]).shard_count_multiplier()

    (tmp_path / "scaling.json").write_text(
        '{"models": {"enabled": false}, "pipelines": {"maxShardCountMultiplier": 4}}'
    )
    (tmp_path / "scaling.yaml").write_text("pipelines: {maxShardCountMultiplier: 0}\n")
    (tmp_path / "silent.yaml").write_text("servers: {enabled: true}\n")
    (tmp_path / "wrong.json").write_text('{"pipelines": {"maxShardCountMultiplier": "many"}}')
    assert multiplier(tmp_path / "scaling.json") == 4
    assert multiplier(tmp_path) == 1
    assert multiplier(tmp_path / "silent.yaml") == 1
    with pytest.raises(InvalidInput, match="scaling-config-path"):
        multiplier(tmp_path / "missing.json")
    with pytest.raises(InvalidInput, match=r"pipelines\.maxShardCountMultiplier 'many'"):
        multiplier(tmp_path / "wrong.json")
    monkeypatch.setenv("MAX_SHARD_COUNT_MULTIPLIER", "2")
    assert multiplier(tmp_path / "scaling.json") == 2


def test_the_engines_own_names_reach_its_kafka_client(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("SELDON_KAFKA_BOOTSTRAP_SERVERS", "kafka:9093"),
        ("SELDON_KAFKA_CONSUMER_PREFIX", "mine"),
        ("SELDON_KAFKA_PARTITIONS_DEFAULT", "4"),
        ("SELDON_KAFKA_REPLICATION_FACTOR", "3"),
        ("SELDON_KAFKA_MAX_MESSAGE_SIZE_BYTES", "1000"),
    ):
        monkeypatch.setenv(name, value)
    config = DataflowSettings.load([]).kafka_config()
    assert (config.bootstrap_servers, config.groups.prefix) == ("kafka:9093", "mine")
    assert (config.partitions, config.replication_factor, config.message_max_bytes) == (4, 3, 1000)
    monkeypatch.setenv("KAFKA_DEFAULT_NUM_PARTITIONS", "2")
    assert DataflowSettings.load([]).kafka_config().partitions == 2
