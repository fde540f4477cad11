"""`seldon model ...`: load, unload and watch models."""

from typing import Annotated

import typer

from services.cli import options
from services.cli.commands.changes import load_command, unload_command
from services.cli.commands.inference import infer_command, metadata
from services.cli.connections import connect_scheduler
from services.cli.grammar import Command, Group
from services.cli.output import show, show_list, show_message

app = typer.Typer(cls=Group, help="Load, unload, watch and call models.", no_args_is_help=False)

Name = Annotated[str, typer.Argument(help="Name of the model.", show_default=False)]


_LOAD = """Load the models of a manifest, or update them to it.

Answers as soon as the scheduler has accepted them; `seldon model status NAME -w ModelAvailable` waits until a
model can be called.
"""

app.command("load", cls=Command, epilog="Example: seldon model load -f samples/models/sklearn-iris-gs.yaml")(
    load_command("Model", _LOAD, silent=False)
)
app.command("unload", cls=Command, epilog="Example: seldon model unload iris")(unload_command("Model"))


@app.command(cls=Command, epilog="Example: seldon model status iris -w ModelAvailable -t 60")
def status(
    name: Name,
    wait: Annotated[
        str,
        typer.Option("--wait", "-w", metavar="STATE", help="State of the newest version to wait for; then prints {}."),
    ] = "",
    timeout: options.Timeout = 5,
    output: options.Output = "json",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """Show where a model is and in which state, or wait for a state."""
    from services.cli.commands.waits import model_available
    from services.cli.statuses import MODEL_STATES, check_condition, model_table

    if wait:
        check_condition(wait, MODEL_STATES)
    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        if wait:
            model_available(scheduler, name, wait, timeout)
            show("{}")
        elif output == "json":
            show_message(scheduler.model_status(name))
        else:
            show(model_table(scheduler.model_status(name)))


@app.command("list", cls=Command, epilog="Example: seldon model list --output json")
def list_models(
    output: options.Output = "table",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """List the models that are not terminated, with their state."""
    from services.cli.statuses import model_list

    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        statuses = scheduler.model_statuses()
    show_list(statuses, output, model_list)


app.command(
    "infer",
    cls=Command,
    epilog="""Example: seldon model infer iris '{"inputs":[{"name":"predict","shape":[1,4],"datatype":"FP32",
    "data":[[1,2,3,4]]}]}' -i 50""",
)(infer_command("model"))
app.command("metadata", cls=Command, epilog="Example: seldon model metadata iris")(metadata)
