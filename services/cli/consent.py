"""Whether a command may change the system."""

import os
from typing import Final

from services.cli.grammar import parse_bool
from services.cli.output import note

_FORCE_WARNING: Final = "This command is likely to cause inconsistencies in your k8s cluster, enable with care."


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
