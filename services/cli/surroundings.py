"""What every command needs from its surroundings: addresses, connections, files, and where its output goes."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from services.cli.addresses import SCHEDULER, SCHEDULER_HTTP, Place, find
from services.cli.config_file import CliConfig
from services.cli.config_registry import active_config, deployment_config, read_text
from services.cli.failures import CommandFailed
from services.cli.grammar import parse_bool
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from services.cli.scheduler_client import SchedulerClient
    from shared.manifests import Resource

Listed = TypeVar("Listed", bound="Message")

_FORCE_WARNING: Final = "This command is likely to cause inconsistencies in your k8s cluster, enable with care."


def show(text: str) -> None:
    """One piece of output, at once: the next one may be seconds away."""
    print(text, flush=True)


def show_message(message: "Message") -> None:
    from services.cli.proto_text import proto_json

    show(proto_json(message))


def show_list(messages: Sequence[Listed], output: str, table: Callable[[Sequence[Listed]], str]) -> None:
    """All of them as one table, or each as JSON."""
    if output == "table":
        show(table(messages))
        return
    for message in messages:
        show_message(message)


def note(text: str) -> None:
    """Something for people that is no output."""
    print(text, file=sys.stderr, flush=True)


def connect_scheduler(flag: str | None, authority: str, verbose: bool = False) -> "SchedulerClient":
    """A connection to the scheduler; with `verbose` it prints every request."""
    from services.cli.scheduler_client import SchedulerClient

    config = active_config()
    host = address_of(SCHEDULER, flag, config)
    on_request = show_message if verbose else lambda _: None
    return SchedulerClient(host, authority, config.controlplane_tls, on_request)


def scheduler_http_host(flag: str | None) -> str:
    return address_of(SCHEDULER_HTTP, flag, active_config())


def address_of(place: Place, flag: str | None, config: CliConfig) -> str:
    """Raises InvalidInput when nothing names one."""
    return find(place, flag, config, os.environ, deployment_config(os.environ)).address


def may_change(force: bool | None) -> bool:
    """Whether a command may change the system; warns in any case, and says so when it may not."""
    note(_FORCE_WARNING)
    variable = os.environ.get("SELDON_FORCE_CONTROL_PLANE")
    if force is None and variable:
        force = parse_bool("SELDON_FORCE_CONTROL_PLANE", variable)
    if force is None:
        force = "KUBERNETES_SERVICE_HOST" not in os.environ
    if not force:
        note("Nothing was done: add --force to go on.")
    return force


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
