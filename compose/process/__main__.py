"""`python -m compose.process up|down|status|logs`: what the make targets call."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from compose.process import broker
from compose.process.first_model import load_and_ask
from compose.process.stack import Stack, follow_logs
from compose.prometheus import install as prometheus
from compose.status import table
from shared.errors import SeldonError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def up(
    samples: Annotated[bool, typer.Option(help="Load the iris sample and ask it something.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds until every part must be ready.")] = 120.0,
) -> None:
    """Start every part, wait until all are ready, and show that a model answers."""
    stack = Stack()
    if stack.settings.has("monitoring"):
        _install_prometheus(stack)
    started = stack.up()
    _say(f"started {', '.join(started)}" if started else "everything runs already")
    stack.wait_ready(timeout, report=_say)
    if samples:
        load_and_ask(stack, _say)
    _say(f"the system is up; the seldon command is {_short(stack.home.root / 'bin' / 'seldon')}")


@app.command()
def down(purge: Annotated[bool, typer.Option(help="Delete models, database and logs too.")] = False) -> None:
    """Stop every part; nothing is left running."""
    Stack().down(purge)
    _say("stopped, and its data deleted" if purge else "stopped; its data stays")


@app.command()
def status(output: Annotated[Literal["table", "json"], typer.Option(help="Form of the answer.")] = "table") -> None:
    """Show every part: state, uptime, process, ports, and what it waits for. Exits 1 unless all are ready."""
    rows = Stack().status()
    if output == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console().print(table(rows))
    raise typer.Exit(0 if all(row.ready for row in rows) else 1)


@app.command()
def start(part: str) -> None:
    """Start one part of a system that is up."""
    Stack().start(part)
    _say(f"{part} started")


@app.command()
def stop(part: str) -> None:
    """Stop one part until it is started again."""
    Stack().stop(part)
    _say(f"{part} stopped")


@app.command()
def kafka() -> None:
    """Run Apache Kafka alone, in the foreground, on KAFKA_BROKER_PORT."""
    stack = Stack()
    node = broker.apache(stack.settings, stack.home)
    node.prepare()
    command = node.command()
    _say(f"Apache Kafka listens on {node.address.host}:{node.address.port}; its records are in {_short(node.data)}")
    os.execv(command[0], command)


@app.command()
def logs(part: Annotated[str | None, typer.Argument(help="One part; all without it.")] = None) -> None:
    """Show the end of the logs and what is added to them."""
    follow_logs(Stack(), part)


def _install_prometheus(stack: Stack) -> None:
    try:
        prometheus.install(stack.home)
    except prometheus.NotInstalled as problem:
        _say(f"prometheus is left out, everything else runs without it: {problem}")
        _say(f"to have it, {prometheus.REMEDY}, and deploy again; or take monitoring out of COMPOSE_PROFILES")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    try:
        app()
    except SeldonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
