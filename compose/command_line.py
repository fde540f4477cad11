"""The commands that every deployment has, in plain processes or in containers."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Literal

import typer
from rich.console import Console

from compose.status import Deployed, table
from shared.errors import SeldonError


def command_line(purpose: str | None, deployed: Callable[[], Deployed]) -> typer.Typer:
    """With down, status, logs, start and stop; `purpose` is its help. Each command asks for the deployment anew."""
    app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=purpose)

    @app.command()
    def down(purge: Annotated[bool, typer.Option(help="Delete its data and logs too.")] = False) -> None:
        """Stop every part; nothing is left running."""
        deployed().down(purge)
        say("stopped, and its data deleted" if purge else "stopped; its data stays")

    @app.command()
    def status(output: Annotated[Literal["table", "json"], typer.Option(help="Form of the answer.")] = "table") -> None:
        """Show every part: state, uptime, process, ports, and what it waits for. Exits 1 unless all are ready."""
        rows = deployed().status()
        if output == "json":
            print(json.dumps([asdict(row) for row in rows], indent=2))
        else:
            Console().print(table(rows))
        raise typer.Exit(0 if all(row.ready for row in rows) else 1)

    @app.command()
    def logs(part: Annotated[str | None, typer.Argument(help="One part; all without it.")] = None) -> None:
        """Show the end of the logs and what is added to them."""
        deployed().logs(part)

    @app.command()
    def start(part: str) -> None:
        """Start one part of a system that is up."""
        deployed().start(part)
        say(f"{part} started")

    @app.command()
    def stop(part: str) -> None:
        """Stop one part until it is started again."""
        deployed().stop(part)
        say(f"{part} stopped")

    return app


def say(line: str) -> None:
    """To whoever watches, at once."""
    print(line, flush=True)


def run(app: typer.Typer) -> int:
    """Run the command that was asked for; 1 and a sentence on stderr when it fails for a known reason."""
    try:
        app()
    except SeldonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
