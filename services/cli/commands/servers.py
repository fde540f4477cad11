"""`seldon server ...`: inference servers, their replicas and memory."""

from typing import Annotated

import typer

from services.cli import options
from services.cli.connections import connect_scheduler
from services.cli.grammar import Command, Group
from services.cli.output import show, show_list, show_message

app = typer.Typer(cls=Group, help="Watch inference servers.", no_args_is_help=False)


@app.command(cls=Command, epilog="Example: seldon server status mlserver")
def status(
    names: Annotated[list[str], typer.Argument(help="Names of servers.", show_default=False)],
    show_request: Annotated[bool, typer.Option("--show-request", "-r", help="Print the request.")] = False,
    show_response: Annotated[
        bool, typer.Option("--show-response/--no-show-response", "-o", help="Print everything, not one sentence.")
    ] = True,
    output: options.Output = "json",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """Show a server's replicas, memory and number of models."""
    from services.cli.statuses import server_sentence, server_table

    with connect_scheduler(scheduler_host, authority, verbose or show_request) as scheduler:
        for name in names:
            answer = scheduler.server_status(name)
            if not show_response:
                show(server_sentence(answer))
            elif output == "json":
                show_message(answer)
            else:
                show(server_table(answer))


@app.command("list", cls=Command, epilog="Example: seldon server list")
def list_servers(
    output: options.Output = "table",
    scheduler_host: options.SchedulerHost = None,
    authority: options.Authority = "",
    verbose: options.Verbose = False,
) -> None:
    """List the servers with the number of their replicas and loaded models."""
    from services.cli.statuses import server_list

    with connect_scheduler(scheduler_host, authority, verbose) as scheduler:
        statuses = scheduler.server_statuses()
    show_list(statuses, output, server_list)
