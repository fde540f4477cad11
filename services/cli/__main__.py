"""Entry point of `seldon`: errors become `Error: <sentence>` on standard error and status 255."""

import os
import sys

import typer

from services.cli.app import run
from services.cli.failures import CommandFailed
from shared.errors import SeldonError

_FAILED = 255
_INTERRUPTED = 130


def main() -> None:
    sys.exit(status_of(sys.argv[1:]))


def status_of(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    try:
        result = run(arguments)
    except CommandFailed as error:
        return _fail(str(error), error.hint)
    except SeldonError as error:
        return _fail(str(error))
    except typer.TyperException as error:
        return _fail(error.format_message())
    except (typer.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) has gone; the interpreter must not try to flush to it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except SystemExit as error:
        # The way completion ends.
        return error.code if isinstance(error.code, int) else _FAILED
    except OSError as error:
        return _fail(str(error))
    return result if isinstance(result, int) else 0


def _fail(message: str, hint: str = "") -> int:
    print(f"Error: {message}", file=sys.stderr)
    if hint:
        print(hint, file=sys.stderr)
    return _FAILED


if __name__ == "__main__":
    main()
