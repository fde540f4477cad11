"""`python -m compose.running RUNTIME COMMAND ...`: a command for the system that runs, in whichever way it does."""

import sys
from contextlib import suppress

import typer

from compose.command_line import run
from compose.containers.__main__ import app as containers
from compose.containers.stack import ContainerStack
from compose.process.__main__ import app as processes
from shared.errors import Unavailable


def command_line_of(runtime: str) -> typer.Typer:
    """With `auto`: that of the containers when there are any, else that of plain processes."""
    if runtime == "auto":
        with suppress(Unavailable):
            runtime = "compose" if ContainerStack().exists() else "process"
    return containers if runtime == "compose" else processes


if __name__ == "__main__":
    sys.exit(run(command_line_of(sys.argv.pop(1))))
