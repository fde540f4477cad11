"""`seldon load`, `unload` and `status`: every kind of resource, from a file or standard input."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import options
from services.cli.connections import connect_scheduler
from services.cli.consent import may_change
from services.cli.grammar import Command
from services.cli.input import resources_in
from services.cli.output import show, show_message

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from services.cli.scheduler_client import SchedulerClient
    from shared.manifests import Resource


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(cls=Command, epilog="Example: cat model.yaml pipeline.yaml | seldon load")(load)
    app.command(cls=Command, epilog="Example: seldon unload -f everything.yaml")(unload)
    app.command(cls=Command, epilog="Example: seldon status -f everything.yaml -w -t 60")(status)


def load(
    file_path: options.OptionalFile = "",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    force: options.Force = None,
    verbose: options.Verbose = False,
) -> None:
    """Load models and pipelines and start experiments, document by document; stops at the first error."""
    if not may_change(force):
        return
    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        for resource in resources_in(file_path):
            show_message(scheduler.load(resource.message))


def unload(
    file_path: options.OptionalFile = "",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    force: options.Force = None,
    verbose: options.Verbose = False,
) -> None:
    """Unload models and pipelines and stop experiments, document by document; stops at the first error."""
    if not may_change(force):
        return
    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        for resource in resources_in(file_path):
            answer = scheduler.unload(resource.kind, resource.name)
            if verbose:
                show_message(answer)


def status(
    file_path: options.OptionalFile = "",
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait until each resource is available, ready or active.")
    ] = False,
    timeout: options.Timeout = 5,
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """Show the status of every resource of a manifest, or wait until all of them are ready."""
    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        for resource in resources_in(file_path):
            if wait:
                _wait(scheduler, resource, timeout)
            else:
                show_message(_ask(scheduler, resource))


def _ask(scheduler: "SchedulerClient", resource: "Resource") -> "Message":
    if resource.kind == "Model":
        return scheduler.model_status(resource.name)
    if resource.kind == "Pipeline":
        return scheduler.pipeline_status(resource.name)
    return scheduler.experiment_status(resource.name)


def _wait(scheduler: "SchedulerClient", resource: "Resource", timeout_seconds: float) -> None:
    from services.cli.commands.waits import experiment_active, model_available, pipeline_in

    if resource.kind == "Model":
        model_available(scheduler, resource.name, "ModelAvailable", timeout_seconds)
        show("{}")
    elif resource.kind == "Pipeline":
        show_message(pipeline_in(scheduler, resource.name, "PipelineReady", timeout_seconds))
    else:
        show_message(experiment_active(scheduler, resource.name, timeout_seconds))
