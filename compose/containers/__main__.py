"""`python -m compose.containers up|down|status|logs|start|stop|build`: what the make targets call."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from compose import progress, remembered
from compose.command_line import command_line, run, say
from compose.containers.stack import ContainerStack
from compose.process.first_model import load_and_ask

app = command_line(__doc__, ContainerStack.deployed)


@app.command()
def up(
    samples: Annotated[bool, typer.Option(help="Load the iris sample and ask it something.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds until every container must be healthy.")] = 300.0,
) -> None:
    """Build the images, start every container, wait until all are healthy, and show that a model answers."""
    stack = ContainerStack()
    stack.build()
    for part, image in stack.leave_out_what_cannot_be_had().items():
        say(f"{part} is left out, everything else runs without it: the image {image} is not here and cannot be pulled")
    for change in remembered.changes(stack.home, "compose", stack.settings):
        say(f"changed since it was deployed: {change}")
    say(f"starting {', '.join(stack.up())}")
    with progress.shown(Console()) as report:
        stack.wait_ready(timeout, report)
    if samples:
        load_and_ask(stack, say)
    say("the system is up")


@app.command()
def build() -> None:
    """Make the images of this repository's own services."""
    ContainerStack().build()


if __name__ == "__main__":
    sys.exit(run(app))
