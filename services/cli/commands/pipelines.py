"""`seldon pipeline ...`: load, unload and watch pipelines."""

from typing import Annotated

import typer

from services.cli import options
from services.cli.commands.changes import load_command, unload_command
from services.cli.commands.inference import infer_command
from services.cli.commands.inspection import inspect
from services.cli.connections import connect_scheduler
from services.cli.grammar import Command, Group
from services.cli.output import show, show_list, show_message

app = typer.Typer(cls=Group, help="Load, unload, watch and call pipelines, and see their data.", no_args_is_help=False)

_LOAD = """Load the pipelines of a manifest, or update them to it.

Answers as soon as the scheduler has accepted them; `seldon pipeline status NAME -w PipelineReady` waits until a
pipeline can be called.
"""

app.command("load", cls=Command, epilog="Example: seldon pipeline load -f samples/pipelines/tfsimples.yaml")(
    load_command("Pipeline", _LOAD, silent=True)
)
app.command("unload", cls=Command, epilog="Example: seldon pipeline unload tfsimples")(unload_command("Pipeline"))


@app.command(cls=Command, epilog="Example: seldon pipeline status tfsimples -w PipelineReady -t 60")
def status(
    name: Annotated[str, typer.Argument(help="Name of the pipeline.", show_default=False)],
    wait: Annotated[
        str, typer.Option("--wait", "-w", metavar="STATE", help="State of the newest version to wait for.")
    ] = "",
    timeout: options.Timeout = 5,
    output: options.Output = "json",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """Show the versions of a pipeline and their states, at once or when a state is reached."""
    from services.cli.commands.waits import pipeline_in
    from services.cli.statuses import PIPELINE_STATES, check_condition, pipeline_table

    if wait:
        check_condition(wait, PIPELINE_STATES)
    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        answer = pipeline_in(scheduler, name, wait, timeout) if wait else scheduler.pipeline_status(name)
    if output == "json":
        show_message(answer)
    else:
        show(pipeline_table(answer))


@app.command("list", cls=Command, epilog="Example: seldon pipeline list --output json")
def list_pipelines(
    output: options.Output = "table",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """List the pipelines with their state."""
    from services.cli.statuses import pipeline_list

    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        statuses = scheduler.pipeline_statuses()
    show_list(statuses, output, pipeline_list)


app.command("infer", cls=Command, epilog="Example: seldon pipeline infer tfsimples -f samples/requests/tfsimple.json")(
    infer_command("pipeline", ".pipeline")
)
app.command("inspect", cls=Command, epilog="Example: seldon pipeline inspect tfsimples.tfsimple1.outputs.OUTPUT0 -v")(
    inspect
)
