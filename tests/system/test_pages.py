"""Commands of the README and of pages about using the system run as they stand there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.peers.pages import Command, commands, fits
from tests.system.deployment import ROOT, Deployment

pytestmark = [pytest.mark.system, pytest.mark.kafka]

_VERSION = re.compile(r"_\d+\b")
SAME_EVERYWHERE = ("Success: map",)
"""Beginnings of outputs that hold no ids and nothing of what else is loaded."""


def ours(page: Path) -> list[Command]:
    """Those that act on a deployment which runs."""
    return [
        each for each in commands(page) if each.text.startswith(("seldon ", ".seldon/venvs/main/bin/python samples/"))
    ]


def run(deployment: Deployment, command: Command) -> subprocess.CompletedProcess[str]:
    home = deployment.stack.home
    text = command.text.replace(".seldon/venvs/main/bin/python", str(home.python("main")))
    environment = {
        "PATH": os.pathsep.join((str(home.root / "bin"), os.environ["PATH"])),
        "HOME": str(home.root),
        "SELDON_KAFKA_BROKER": f"127.0.0.1:{deployment.stack.port('KAFKA_BROKER_PORT')}",
    }
    return subprocess.run(
        ["bash", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("page", ["README.md", "docs/asynchronous.md"])
def test_every_command_of_the_page_works_in_its_order(deployment: Deployment, page: str) -> None:
    to_run = ours(ROOT / page)
    assert len(to_run) > 4
    try:
        for command in to_run:
            done = run(deployment, command)
            assert done.returncode == 0, f"{command.text}\n{done.stdout}{done.stderr}"
            if command.output.startswith(SAME_EVERYWHERE):
                promised, printed = (_VERSION.sub("_n", text) for text in (command.output, done.stdout))
                assert fits(promised, printed), f"{command.text}\nprinted\n{done.stdout}"
    finally:
        run(deployment, Command("seldon model unload greedy", ""))
