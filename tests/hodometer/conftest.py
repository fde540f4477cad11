"""Logs as the processes write them, no proxies in between, and a certificate."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from tests.peers.certificates import write_pair


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def lines() -> Iterator[list[structlog.typing.EventDict]]:
    """Log lines of the test so far."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with key.pem and crt.pem: what is server, client and authority of 127.0.0.1 at once."""
    folder = tmp_path_factory.mktemp("pem")
    write_pair("127.0.0.1", folder / "crt.pem", folder / "key.pem")
    return folder
