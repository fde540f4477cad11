"""Settings of a service: flags, then environment, then defaults; a wrong one stops the start with a sentence."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import AfterValidator, AliasChoices, Field, PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, CliSettingsSource, SettingsConfigDict

from shared.errors import InvalidInput
from shared.foreign_settings import WithoutEffect, understand
from shared.log_levels import standard_level
from shared.settings_help import describe, program_of

_HIGHEST_PORT: Final = 65_535


def _known_level(value: str) -> str:
    try:
        return standard_level("level", value)
    except InvalidInput as error:
        raise ValueError(str(error)) from None


LogLevel: TypeAlias = Annotated[str, AfterValidator(_known_level)]
"""A standard level name in lower case, from any of the names in use."""


def setting(default: object, flag: str, *variables: str, **rules: Any) -> Any:
    """A field with its flag (without dashes) and the variables that stand in for it, the first one wins."""
    return Field(default, validation_alias=AliasChoices(flag, *variables), **rules)


def port(default: int, flag: str, *variables: str, lowest: int = 1) -> Any:
    """A setting that is a port."""
    return setting(default, flag, *variables, ge=lowest, le=_HIGHEST_PORT)


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
        # The text under a field is what --help says about it.
        use_attribute_docstrings=True,
    )

    without_effect: ClassVar[Collection[WithoutEffect]] = ()
    """What deployments may pass although it means nothing here."""
    other_flags: ClassVar[Mapping[str, str]] = {}
    """Flags that mean a setting that has another name here, with its flag."""

    _ignored: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def ignored(self) -> Mapping[str, str]:
        """Settings that were passed and have no effect, with the reason."""
        return self._ignored

    @classmethod
    def load(cls, argv: Sequence[str] | None = None) -> Self:
        """Read flags and environment. Exits with status 2 and one sentence per wrong setting."""
        given = list(sys.argv[1:] if argv is None else argv)
        arguments, notes = understand(given, os.environ, cls.without_effect, cls.other_flags, _switches(cls))
        source: CliSettingsSource[Any] = CliSettingsSource(cls, cli_prog_name=program_of(cls))
        describe(source.root_parser, cls)
        try:
            read = cls(_cli_settings_source=source(args=arguments))  # type: ignore[call-arg]
            read._ignored = notes
            return read
        except ValidationError as error:
            for problem in error.errors():
                name = _written_as(cls, str(problem["loc"][0]), arguments) if problem["loc"] else "s"
                sentence = problem["msg"].removeprefix("Value error, ")
                print(f"setting {name}: {sentence} (got {problem['input']!r})", file=sys.stderr)
            raise SystemExit(2) from None


def _switches(settings: type[BaseSettings]) -> frozenset[str]:
    """The flags that are true or false."""
    return frozenset(
        str(field.validation_alias.choices[0])
        for field in settings.model_fields.values()
        if field.annotation is bool and isinstance(field.validation_alias, AliasChoices)
    )


def _written_as(settings: type[BaseSettings], alias: str, arguments: Sequence[str]) -> str:
    """The flag or the variable that somebody wrote, so that they find it; the flag when nobody did."""
    for field in settings.model_fields.values():
        if isinstance(field.validation_alias, AliasChoices) and alias in field.validation_alias.choices:
            flag, *variables = (str(choice) for choice in field.validation_alias.choices)
            if any(argument.partition("=")[0] == f"--{flag}" for argument in arguments):
                return f"--{flag}"
            return next((name for name in variables if name in os.environ), f"--{flag}")
    return alias
