"""Settings of a service: flags, then environment, then defaults; a wrong one stops the start with a sentence."""

import sys
from collections.abc import Sequence
from typing import Self

from pydantic import ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Base of every service's settings.

    A field may name its environment variable with `validation_alias=AliasChoices("scheduler-port", "SCHEDULER_PORT")`:
    the first alias is the flag (`--scheduler-port`), the others are variables. A flag beats a variable.
    """

    model_config = SettingsConfigDict(
        populate_by_name=True,
        extra="ignore",
        # Else the flag `--host` would also be read from the variable HOST, which shells set for their own use.
        case_sensitive=True,
        cli_kebab_case=True,
        cli_ignore_unknown_args=False,
        cli_implicit_flags=True,
        cli_prog_name=None,
    )

    @classmethod
    def load(cls, argv: Sequence[str] | None = None) -> Self:
        """Read flags and environment. Exits with status 2 and one sentence per wrong setting."""
        arguments = list(sys.argv[1:] if argv is None else argv)
        try:
            return cls(_cli_settings_source=CliSettingsSource(cls, cli_parse_args=arguments))  # type: ignore[call-arg]
        except ValidationError as error:
            for problem in error.errors():
                name = ".".join(str(part) for part in problem["loc"])
                print(f"setting {name}: {problem['msg']} (got {problem['input']!r})", file=sys.stderr)
            raise SystemExit(2) from None
