"""`python -m compose.containers up|down|status|logs|start|stop|build`: what the make targets call."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Literal

import typer
from rich.console import Console

from compose.containers.stack import ContainerStack
from compose.process.first_model import load_and_ask
from compose.status import table
from shared.errors import SeldonError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def up(
    samples: Annotated[bool, typer.Option(help="Load the iris sample and ask it something.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds until every container must be healthy.")] = 300.0,
) -> None:
    """Build the images, start every container, wait until all are healthy, and show that a model answers."""
    stack = ContainerStack()
    stack.build()
    for part, image in stack.leave_out_what_cannot_be_had().items():
        _say(f"{part} is left out, everything else runs without it: the image {image} is not here and cannot be pulled")
    _say(f"starting {', '.join(stack.up())}")
    stack.wait_ready(timeout, report=_say)
    if samples:
        load_and_ask(stack, _say)
    _say("the system is up")


@app.command()
def down(purge: Annotated[bool, typer.Option(help="Remove volumes too: models, database, records.")] = False) -> None:
    """Remove every container."""
    ContainerStack().down(purge)
    _say("containers and volumes removed" if purge else "containers removed; their volumes stay")


@app.command()
def status(output: Annotated[Literal["table", "json"], typer.Option(help="Form of the answer.")] = "table") -> None:
    """Show every container and what it waits for. Exits 1 unless all are healthy."""
    rows = ContainerStack().status()
    if output == "json":
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        Console().print(table(rows))
    raise typer.Exit(0 if all(row.ready for row in rows) else 1)


@app.command()
def logs(part: Annotated[str | None, typer.Argument(help="One part; all without it.")] = None) -> None:
    """Show the end of the logs and what is added to them."""
    ContainerStack().logs(part)


@app.command()
def start(part: str) -> None:
    """Start one part."""
    ContainerStack().start(part)
    _say(f"{part} started")


@app.command()
def stop(part: str) -> None:
    """Stop one part until it is started again."""
    ContainerStack().stop(part)
    _say(f"{part} stopped")


@app.command()
def build() -> None:
    """Make the images of this repository's own services."""
    ContainerStack().build()


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
