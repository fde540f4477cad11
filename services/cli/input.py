"""What a command is given: manifests and request data, from files, standard input or the command line."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.config_registry import read_text
from services.cli.failures import CommandFailed
from services.cli.output import show
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from shared.manifests import Resource


def resources_in(file_path: str) -> "Iterator[Resource]":
    """Resources of a manifest, or of standard input when the path is empty."""
    from shared.manifests import read_resources

    return read_resources(_file_text(file_path) if file_path else _standard_input())


def resources_of_kind(kind: str, file_path: str) -> "Iterator[Resource]":
    """Resources of a manifest that holds this kind only. Raises InvalidInput for another."""
    for resource in resources_in(file_path):
        if resource.kind != kind:
            command = f"seldon load -f {file_path}"
            raise InvalidInput(
                f"document {resource.document}: invalid kind {resource.kind!r}: must be {kind}; "
                f"`{command}` takes every kind"
            )
        yield resource


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"standard input is not UTF-8 text: {error.reason} at byte {error.start}") from None


def _file_text(path: str) -> str:
    """The file's text. Callers of this tool look for the operating system's reason on standard output."""
    try:
        return read_text(Path(path))
    except InvalidInput as error:
        show(str(error))
        raise CommandFailed(f"the file given with --file-path cannot be read: {path}") from None


def payload(inline: str | None, file_path: str) -> str:
    """The data of an inference call. Raises InvalidInput when neither is given."""
    if inline:
        return inline
    if not file_path:
        raise InvalidInput("required inline data or from file with -f <file-path>")
    return _file_text(file_path)
