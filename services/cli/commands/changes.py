"""`load` and `unload` of one kind of resource: the same for models and pipelines."""

from collections.abc import Callable
from typing import Annotated

import typer

from services.cli import options
from services.cli.connections import connect_scheduler
from services.cli.consent import may_change
from services.cli.input import resources_of_kind
from services.cli.output import show_message
from shared.errors import InvalidInput


def load_command(kind: str, summary: str, *, silent: bool) -> Callable[..., None]:
    """`silent` prints the scheduler's answer only with --verbose."""

    def load(
        file_path: options.RequiredFile,
        scheduler_host: options.SchedulerHost = None,
        authority: options.Authority = "",
        force: options.Force = None,
        verbose: options.Verbose = False,
    ) -> None:
        if not may_change(force):
            return
        with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
            for resource in resources_of_kind(kind, file_path):
                answer = scheduler.load(resource.message)
                if verbose or not silent:
                    show_message(answer)

    load.__doc__ = summary
    return load


def unload_command(kind: str) -> Callable[..., None]:
    word = kind.lower()

    def unload(
        name: Annotated[str, typer.Argument(help=f"Name of the {word}.", show_default=False)] = "",
        file_path: options.OptionalFile = "",
        scheduler_host: options.SchedulerHost = None,
        authority: options.Authority = "",
        force: options.Force = None,
        verbose: options.Verbose = False,
    ) -> None:
        if not may_change(force):
            return
        if not name and not file_path:
            raise InvalidInput(f"required a {word} name, or a manifest with -f <file-path>")
        with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
            names = (each.name for each in resources_of_kind(kind, file_path)) if file_path else [name]
            for each in names:
                answer = scheduler.unload(kind, each)
                if verbose:
                    show_message(answer)

    unload.__doc__ = f"Unload a {word} by name, or the {word}s of a manifest; the manifest wins when both are given."
    return unload
