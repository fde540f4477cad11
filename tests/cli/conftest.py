"""A home folder and an environment of its own for every test, and the peers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from services.cli.__main__ import status_of
from shared.logs import LEVELS
from tests.cli.peers import GrpcDataPlane, HttpPeer, MemoryScheduler, grpc_data_plane, scheduler_server

_VARIABLES = (
    "SELDON_DEPLOYMENT",
    "SELDON_INFER_HOST",
    "SELDON_SCHEDULE_HOST",
    "SELDON_SCHEDULER_HTTP_HOST",
    "SELDON_FORCE_CONTROL_PLANE",
    "SELDON_KAFKA_BROKER",
    "SELDON_KAFKA_CONFIG_PATH",
    "KAFKA_BOOTSTRAP_SERVERS",
    "SELDON_KAFKA_BOOTSTRAP_SERVERS",
    "POD_NAMESPACE",
    "KUBERNETES_SERVICE_HOST",
)


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    def once(*arguments: str) -> Outcome:
        status = status_of(list(arguments))
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    yield once
    # Some commands set up logs for their process, here on a stream that is closed after the test.
    structlog.reset_defaults()
    LEVELS.change({"level": "debug"})


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryScheduler]:
    """A scheduler that commands find by the environment."""
    made = MemoryScheduler()  # type: ignore[abstract]
    with scheduler_server(made) as address:
        monkeypatch.setenv("SELDON_SCHEDULE_HOST", address)
        yield made


@pytest.fixture
def http_peer() -> Iterator[HttpPeer]:
    with HttpPeer().running() as peer:
        yield peer


@pytest.fixture
def grpc_peer() -> GrpcDataPlane:
    return GrpcDataPlane()  # type: ignore[abstract]


@pytest.fixture
def grpc_address(grpc_peer: GrpcDataPlane) -> Iterator[str]:
    with grpc_data_plane(grpc_peer) as address:
        yield address
