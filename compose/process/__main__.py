"""`python -m compose.process up|down|status|logs|start|stop|kafka`: what the make targets call."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from compose import progress, remembered
from compose.command_line import command_line, run, say
from compose.process import broker
from compose.process.first_model import load_and_ask
from compose.process.stack import Stack
from compose.prometheus import install as prometheus

_PACKAGES = {"monitoring": prometheus.PROMETHEUS, "pushgateways": prometheus.PUSHGATEWAY}
"""Programs of Debian's that a profile needs."""
app = command_line(__doc__, Stack.deployed)


@app.command()
def up(
    samples: Annotated[bool, typer.Option(help="Load the iris sample and ask it something.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds until every part must be ready.")] = 120.0,
) -> None:
    """Start every part, wait until all are ready, and show that a model answers."""
    stack = Stack()
    for profile, package in _PACKAGES.items():
        if stack.settings.has(profile) and prometheus.find(package, stack.home) is None:
            _install(package, profile, stack)
    for change in remembered.changes(stack.home, "process", stack.settings):
        say(f"changed since it was deployed: {change}")
    started = stack.up()
    say(f"started {', '.join(started)}" if started else "everything runs already")
    with progress.shown(Console()) as report:
        stack.wait_ready(timeout, report)
    if samples:
        load_and_ask(stack, say)
    say(f"the system is up; the seldon command is {_short(stack.home.root / 'bin' / 'seldon')}")


@app.command()
def kafka() -> None:
    """Run Apache Kafka alone, in the foreground, on KAFKA_BROKER_PORT."""
    stack = Stack()
    node = broker.apache(stack.settings, stack.home)
    node.prepare()
    command = node.command()
    say(f"Apache Kafka listens on {node.address.host}:{node.address.port}; its records are in {_short(node.data)}")
    os.execv(command[0], command)


def _install(package: str, profile: str, stack: Stack) -> None:
    try:
        prometheus.install(stack.home, package)
    except prometheus.NotInstalled as problem:
        say(f"{package} is left out, everything else runs without it: {problem}")
        say(f"to have it, {prometheus.remedy(package)}, and deploy again; or take {profile} out of COMPOSE_PROFILES")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    sys.exit(run(app))
