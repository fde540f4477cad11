"""The program that containers' health checks call."""

import subprocess
import sys
from pathlib import Path

from tests.logs.service import environment, running
from tests.peers.ports import free_port


def _check(*arguments: str) -> tuple[int, str]:
    # A proxy that nobody answers at: health checks are about the own machine.
    variables = environment({"http_proxy": "http://127.0.0.1:1", "HTTP_PROXY": "http://127.0.0.1:1"})
    command = [sys.executable, "-m", "shared.health", *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def test_says_what_a_service_waits_for(tmp_path: Path) -> None:
    port = free_port()
    folders = ["--agent-folder", str(tmp_path / "agent"), "--config-path", str(tmp_path)]
    ports = ["metrics", "reverse-proxy-http", "reverse-proxy-grpc", "debug-grpc", "scheduler", "inference-grpc"]
    flags = [f"--{name}-port={free_port()}" for name in ports]
    arguments = ["--agent-host", "127.0.0.1", "--readiness-port", str(port), *folders, *flags]
    with running("agent", port, {}, tmp_path / "log", *arguments) as url:
        assert _check(f"{url}/live")[0] == 0
        code, said = _check(f"{url}/ready")
        assert code == 1
        assert said.startswith("503 ")
        assert "inference-server" in said


def test_nothing_there_and_nothing_asked() -> None:
    port = free_port()
    code, said = _check(f"http://127.0.0.1:{port}/ready")
    assert code == 1
    assert "refused" in said
    assert _check("http://127.0.0.1:notaport/")[0] == 1
    for arguments in ((), ("ftp://x",), ("http://a", "http://b")):
        code, said = _check(*arguments)
        assert code == 2
        assert said.startswith("usage:")
