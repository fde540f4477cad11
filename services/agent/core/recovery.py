"""After a restart of the agent or of its inference server: what to keep, what to load again and what to remove."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

_IN_MEMORY = ("READY", "LOADING", "UNKNOWN")


@dataclass(frozen=True)
class Recovery:
    """Internal names by what is to be done with them."""

    adopt: frozenset[str]
    """Known, and the server serves it: nothing to do."""
    reload: frozenset[str]
    """Known and on disk, and the server has lost it."""
    forget: frozenset[str]
    """Known without files: the scheduler will ask for it again."""
    unload: frozenset[str]
    """In the server's memory, and nobody knows why."""
    remove: frozenset[str]
    """Files that belong to no known model."""


def plan_recovery(known: Set[str], on_disk: Set[str], index: Mapping[str, str]) -> Recovery:
    """Compare what the agent knows (`known`), the repository's folders and the server's own index (name to state)."""
    usable = known & on_disk
    ready = {name for name, state in index.items() if state == "READY"}
    in_memory = {name for name, state in index.items() if state in _IN_MEMORY}
    return Recovery(
        adopt=frozenset(usable & ready),
        reload=frozenset(usable - ready),
        forget=frozenset(known - on_disk),
        unload=frozenset(in_memory - usable),
        remove=frozenset(on_disk - known),
    )
