"""`seldon explain ...`: why something is as it is."""

from typing import Annotated

import typer

from services.cli import options
from services.cli.connections import scheduler_http_host
from services.cli.failures import CommandFailed
from services.cli.grammar import Command, Group
from services.cli.output import show

app = typer.Typer(cls=Group, help="Tell where something runs, or why it does not.", no_args_is_help=False)


@app.callback()
def explain() -> None:
    """Tell where something runs, or why it does not."""


@app.command(cls=Command, epilog="Example: seldon explain model iris")
def model(
    name: Annotated[str, typer.Argument(help="Name of the model.", show_default=False)],
    output: options.Output = "table",
    host: options.SchedulerHttpHost = None,
) -> None:
    """Tell where a model runs or why it does not: its versions, its route, and what each server says."""
    from pydantic import ValidationError
    from rich.console import Console

    from services.cli.explain_client import fetch_explanation
    from services.cli.explanation import Explanation, render

    address = scheduler_http_host(host)
    try:
        explanation = Explanation.model_validate_json(fetch_explanation(address, "model", name))
    except ValidationError as error:
        raise CommandFailed(f"{address} does not answer as a scheduler does: {error.errors()[0]['msg']}") from None
    if output == "json":
        show(explanation.model_dump_json(indent=2))
    else:
        Console(highlight=False).print(render(explanation))


@app.command(cls=Command, epilog="Example: seldon explain pipeline tfsimples")
def pipeline(
    name: Annotated[str, typer.Argument(help="Name of the pipeline.", show_default=False)],
    output: options.Output = "table",
    host: options.SchedulerHttpHost = None,
) -> None:
    """Tell whether a pipeline can be called or what it waits for: its engines, gateways and models."""
    import json

    from rich.console import Console

    from services.cli.explain_client import fetch_explanation
    from services.cli.facts import render_facts

    address = scheduler_http_host(host)
    try:
        facts = json.loads(fetch_explanation(address, "pipeline", name))
    except ValueError as error:
        raise CommandFailed(f"{address} does not answer as a scheduler does: {error}") from None
    if output == "json":
        show(json.dumps(facts, indent=2))
    else:
        Console(highlight=False).print(render_facts(facts))
