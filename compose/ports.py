"""Ports of a deployment that something else has, and offsets that get out of its way."""

import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from compose.process.settings import Settings
from shared.errors import Unavailable

_PROPOSED: Final = 3
_NAMED: Final = 3
_FIRST_OFFSET: Final = 1_000
_STEPS: Final = (1_000, 100)
"""Whole thousands are remembered best; where they do not do, hundreds."""
_HIGHEST: Final = 32_767
"""The kernel gives what is above to connections, at any time."""


def refuse_taken(wanted: Mapping[str, Iterable[int]], settings: Settings) -> None:
    """Raises Unavailable when something has one of the ports, with offsets that work now.

    `wanted` is ports by name of the part that needs them, offset included.
    """
    host = settings.bind_host
    lacking = {part: missing for part, ports in wanted.items() if (missing := taken(host, ports))}
    if not lacking:
        return
    named = [f"{part} needs port {', '.join(map(str, ports))}" for part, ports in lacking.items()]
    more = [f"{len(named) - _NAMED} more parts need others"] if len(named) > _NAMED else []
    needs = "; ".join(named[:_NAMED] + more)
    message = f"something else on this machine uses ports of this deployment: {needs}. Stop it, or change them in .env"
    offset = int(settings["SELDON_PORT_OFFSET"])
    plain = [int(value) - offset for name, value in settings.values.items() if name.endswith("_PORT")]
    plain += [port - offset for ports in wanted.values() for port in ports]
    found = list(islice(working_offsets(plain, lambda port: _is_free(host, port)), _PROPOSED))
    if found:
        choice = " or ".join(f"SELDON_PORT_OFFSET={each}" for each in found)
        message += f", or move all of them: {choice} {'works' if len(found) == 1 else 'work'} here"
    raise Unavailable(message)


def working_offsets(plain: Collection[int], is_free: Callable[[int], bool]) -> Iterator[int]:
    """Offsets at which every port is free and none is one of a deployment without offset, the best first.

    `plain` is the ports without offset.
    """
    ports = frozenset(plain)
    tried: set[int] = set()
    for step in _STEPS:
        for offset in range(_FIRST_OFFSET, _HIGHEST - max(ports) + 1, step):
            if offset in tried:
                continue
            tried.add(offset)
            moved = {port + offset for port in ports}
            if moved.isdisjoint(ports) and all(map(is_free, sorted(moved))):
                yield offset


def taken(host: str, ports: Iterable[int]) -> list[int]:
    """Those ports on which something listens or could not be listened on, in order."""
    return [port for port in sorted(ports) if not _is_free(host, port)]


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True
