"""`python -m compose.running RUNTIME COMMAND ...`: a command for the system that runs, in whichever way it does."""

import os
import sys
from contextlib import suppress

import typer

from compose import remembered
from compose.command_line import run
from compose.containers.__main__ import app as containers
from compose.containers.stack import ContainerStack
from compose.process.__main__ import app as processes
from compose.process.home import Home
from shared.errors import InvalidInput, SeldonError, Unavailable


def runtime_of(wanted: str) -> str:
    """With `auto`, what was deployed here. Raises InvalidInput when that is both, or `wanted` is neither."""
    if wanted in remembered.RUNTIMES:
        return wanted
    if wanted != "auto":
        raise InvalidInput.of_field("RUNTIME", wanted, "use compose, process or auto")
    match remembered.deployed(Home.of(os.environ)):
        case [only]:
            return only
        case []:
            with suppress(Unavailable):
                return "compose" if ContainerStack().exists() else "process"
            return "process"
        case _:
            fix = "plain processes and containers are deployed: say RUNTIME=process or RUNTIME=compose"
            raise InvalidInput.of_field("RUNTIME", wanted, fix)


def command_line_of(runtime: str) -> typer.Typer:
    return containers if runtime_of(runtime) == "compose" else processes


def main() -> int:
    try:
        app = command_line_of(sys.argv.pop(1))
    except SeldonError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return run(app)


if __name__ == "__main__":
    sys.exit(main())
