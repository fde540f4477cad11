"""Tests and `.ci/run` find the base system, Python and make, and nothing that somebody installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOMEBODY_INSTALLED = ("prometheus", "promtool", "envoy", "rclone", "java", "go", "node", "wrk", "openssl", "git")


def executable(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("name", SOMEBODY_INSTALLED)
def test_no_test_finds_what_the_project_does_not_bring(name: str) -> None:
    assert shutil.which(name) is None


def test_the_ci_run_has_no_more_than_the_readme_asks_for(tmp_path: Path) -> None:
    """A make that tells what it finds takes the place of the real one, on a machine that has everything."""
    (tmp_path / "tmp").mkdir()
    for name in (*SOMEBODY_INSTALLED, "docker"):
        executable(tmp_path / name, "exit 0")
    executable(tmp_path / "python3.11", f'exec "{sys.executable}" "$@"')
    asked = " ".join((*SOMEBODY_INSTALLED, "docker", "sh", "tail"))
    version = "import sys; print(sys.version_info[:2], sys.executable)"
    executable(tmp_path / "make", f"for name in {asked}; do command -v $name; done; python3.11 -c '{version}'")
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "TMPDIR": str(tmp_path / "tmp")}
    done = subprocess.run(
        [str(ROOT / ".ci" / "run")], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = [line for line in done.stdout.splitlines() if line and not line.startswith("==")]
    assert [Path(line).name for line in found[:2]] == ["sh", "tail"]
    assert found[2:] == [f"(3, 11) {sys.executable}", *found[:3] * 2]
    assert list((tmp_path / "tmp").iterdir()) == []
