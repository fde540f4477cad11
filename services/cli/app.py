"""The tree of commands."""

import os
from typing import Annotated, Literal

import typer

from services.cli.commands import config, explain, manifests, models, pipelines, servers
from services.cli.grammar import Command, Group

_COMPLETE_VARIABLE = "_SELDON_COMPLETE"

app = typer.Typer(
    cls=Group,
    help="Load models on inference servers, join them into pipelines, call them, and see where they run.",
    epilog="Example: seldon model load -f iris.yaml && seldon model status iris -w ModelAvailable",
    rich_markup_mode=None,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models.app, name="model")
app.add_typer(pipelines.app, name="pipeline")
app.add_typer(servers.app, name="server")
app.add_typer(explain.app, name="explain")
app.add_typer(config.app, name="config")
manifests.register(app)


def run(arguments: list[str]) -> object:
    """Run one command line. Raises whatever ends it early; returns an exit status, or None for 0."""
    return typer.main.get_command(app).main(
        args=arguments, prog_name="seldon", complete_var=_COMPLETE_VARIABLE, standalone_mode=False
    )


@app.command(cls=Command, epilog="Example: source <(seldon completion bash)")
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], typer.Argument(show_default=False)],
) -> None:
    """Print a completion script for bash, zsh, fish or powershell."""
    os.environ[_COMPLETE_VARIABLE] = f"source_{shell}"
    run([])
