"""Real supervisord with small programs, in a folder of the test's own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compose.process import leftovers, rendering
from compose.process.program import Program
from compose.process.supervisor import Supervisor
from tests.peers import ports

SUPERVISORD = Path(sys.executable).with_name("supervisord")


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


@pytest.fixture
def configure(tmp_path: Path) -> Callable[[Program], Supervisor]:
    """Writes the configuration of one program; the same supervisord each time."""

    def configured(program: Program) -> Supervisor:
        config, socket_path = tmp_path / "supervisord.conf", tmp_path / "s"
        config.write_text(rendering.supervisord([program], socket_path, tmp_path, tmp_path, 256))
        return Supervisor(SUPERVISORD, config, socket_path)

    return configured


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The folder whose mark the processes carry; none of them outlives the test."""
    yield tmp_path
    leftovers.end(tmp_path, grace_seconds=2)
