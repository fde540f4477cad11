"""The parts of the system that a command talks to, and where they are."""

import os
from typing import TYPE_CHECKING

from services.cli.addresses import SCHEDULER, SCHEDULER_HTTP, Place, find
from services.cli.config_file import CliConfig
from services.cli.config_registry import active_config, deployment_config
from services.cli.output import show_message

if TYPE_CHECKING:
    from services.cli.scheduler_client import SchedulerClient


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
