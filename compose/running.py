"""`python -m compose.running RUNTIME COMMAND ...`: a command for the system that runs, in whichever way it does."""

import sys
from contextlib import suppress
from types import ModuleType

import compose.containers.__main__
import compose.process.__main__
from compose.containers.stack import ContainerStack
from shared.errors import Unavailable


def command_line(runtime: str) -> ModuleType:
    """With `auto`: that of the containers when there are any, else that of plain processes."""
    if runtime == "auto":
        with suppress(Unavailable):
            runtime = "compose" if ContainerStack().exists() else "process"
    return compose.containers.__main__ if runtime == "compose" else compose.process.__main__


def main() -> int:
    chosen = command_line(sys.argv.pop(1))
    made: int = chosen.main()
    return made


if __name__ == "__main__":
    sys.exit(main())
