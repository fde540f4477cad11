"""What ends a command: one line after `Error: `, and a hint below it where one helps."""


class CommandFailed(Exception):
    """A command cannot go on. `str(error)` follows `Error: `; `hint`, when not empty, is a line of its own."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def unreachable_hint(what: str, host: str, flag: str, variable: str) -> str:
    """Where the command looked, and how to make it look elsewhere."""
    return f"Hint: no {what} answers at {host}; is it running? Set another address with {flag} or {variable}."
