"""What supervisord has to know about one part of the system, and how to see that the part is ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Program:
    """One process. `ready_url` answers 200 when the part does its work, else with what it waits for.

    A `tcp:` one has no answers: the part does its work as soon as it listens there. None: the part has no port to ask,
    and does its work when it has not ended after some seconds.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    ready_url: str | None
    ports: tuple[int, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    unready: str = "its own start"
    """What it waits for when its answer does not say."""
    stop_seconds: int = 10
    """How long it may take to stop by itself before it is killed."""
    stops_last: bool = False
    """The others need it until they have stopped. It is also started first."""
