"""`seldon config ...`: files with addresses and TLS material, one of them active."""

import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from services.cli.addresses import PLACES, find
from services.cli.config_file import known_fields
from services.cli.config_registry import active_config, deployment_config, load_registry, read_text, save_registry
from services.cli.grammar import Command, Group
from services.cli.output import show
from services.cli.text import table

_HELP: Final = """Manage configuration files of this tool, and see whom it talks to.

The `seldon` of a deployment talks to that deployment. To reach another one, give a command its flags (--scheduler-host
and so on), set the variables that they name, or add and activate a configuration file; every deployment has one for
others, cli.json in its folder .seldon. An address is taken from the flag, else from the active file, else from the
variable, else from the deployment.
"""

app = typer.Typer(cls=Group, help=_HELP, no_args_is_help=False)

Key = Annotated[str, typer.Argument(help="Name of the configuration.", show_default=False)]


@app.command(cls=Command, epilog="Example: seldon config add other ../other/.seldon/cli.json")
def add(
    key: Key,
    path: Annotated[str, typer.Argument(help="JSON file; read when it is active.", show_default=False)],
) -> None:
    """Remember a configuration file under a key."""
    save_registry(load_registry().add(key, path))


@app.command(cls=Command, epilog="Example: seldon config remove production")
def remove(key: Key) -> None:
    """Forget a key; the file stays."""
    save_registry(load_registry().remove(key))


@app.command(cls=Command, epilog="Example: seldon config activate production")
def activate(key: Key) -> None:
    """Use a configuration file from now on."""
    save_registry(load_registry().activate(key))


@app.command(cls=Command, epilog="Example: seldon config deactivate production")
def deactivate(key: Key) -> None:
    """Stop using a configuration file."""
    save_registry(load_registry().deactivate(key))


@app.command(cls=Command, epilog="Example: seldon config addresses")
def addresses() -> None:
    """Show whom commands without flags talk to, and what says so."""
    config, deployment = active_config(), deployment_config(os.environ)
    found = [(place.name, find(place, None, config, os.environ, deployment)) for place in PLACES]
    show(table(("what", "address", "from"), [(name, each.address, each.because) for name, each in found]))


@app.command("list", cls=Command, epilog="Example: seldon config list")
def list_configs(
    key: Annotated[str, typer.Argument(help="Show this file instead.", show_default=False)] = "",
) -> None:
    """List the known files (`*` marks the active one), or show one."""
    registry = load_registry()
    if key:
        path = registry.path(key)
        show(json.dumps(known_fields(read_text(Path(path)), path), indent=2))
        return
    rows = [(each, path, "*" if each == registry.active else "") for each, path in sorted(registry.configs.items())]
    show(table(("config", "path", "active"), rows))
