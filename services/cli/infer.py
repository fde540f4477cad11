"""What an inference call sends and what many of them add up to; no input or output here."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from shared.errors import InvalidInput
from shared.names import HEADER_MODEL, HEADER_ROUTE

_RESERVED: Final = frozenset({"host", "authority", ":authority"})


@dataclass(frozen=True)
class Reply:
    """One call's outcome. `code` is the HTTP status or the gRPC code number; 0 when no HTTP answer came at all."""

    ok: bool
    code: int
    routes: tuple[str, ...]
    """Values of the route header, one per hop."""
    text: str
    """What a single call prints: the answer when `ok`, else the sentence after `Error: `."""
    hint: str = ""
    transcript: str = ""
    """The exchanged headers, for people."""


@dataclass
class Tally:
    """Counts of many calls by route; the empty route stands for answers that name none."""

    successes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Counter[int]] = field(default_factory=dict)

    def add(self, reply: Reply) -> None:
        routes = reply.routes or ("",)
        if reply.ok:
            self.successes.update(routes)
            return
        for route in routes:
            self.failures.setdefault(route, Counter())[reply.code] += 1

    def summary(self) -> str:
        """`Success: map[:iris_1::57]`, and a line of errors when there were any; keys in order."""
        lines = [f"Success: {_map(self.successes)}"]
        if self.failures:
            lines.append(f"Errors: {_map({route: _map(codes) for route, codes in self.failures.items()})}")
        return "\n".join(lines)


def _map(entries: Mapping[str, object] | Mapping[int, object]) -> str:
    return f"map[{' '.join(f'{key}:{value}' for key, value in sorted(entries.items()))}]"


def parse_headers(given: Iterable[str]) -> list[tuple[str, str]]:
    """`key=value` texts as pairs. Raises InvalidInput for another form, or for a header with a flag of its own."""
    pairs = []
    for header in given:
        parts = header.split("=")
        if len(parts) != 2 or not parts[0]:
            raise InvalidInput(f"Badly formed header {header}: use key=val")
        if parts[0].lower() in _RESERVED:
            raise InvalidInput(f"Header {parts[0]} cannot be set with --header: use --authority")
        pairs.append((parts[0], parts[1]))
    return pairs


def request_headers(resource: str, routes: Iterable[str], user: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """All headers of a call, lower-case names. A user's header replaces ours of the same name.

    `resource` is `<model>` or `<pipeline>.pipeline`; `routes` are sticky route keys, each a header of its own.
    """
    ours = [(HEADER_MODEL, resource), *((HEADER_ROUTE, route) for route in routes)]
    theirs = [(name.lower(), value) for name, value in user]
    replaced = {name for name, _ in theirs}
    return [*((name, value) for name, value in ours if name not in replaced), *theirs]


def rest_failure(status: int, body: str) -> str:
    """The sentence for an answer other than 200."""
    if status == 400:
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError):
            error = None
        if isinstance(error, str):
            return error
    return f"V2 server error: {status} {body}"


def transcript_lines(prefix: str, headers: Iterable[tuple[str, str]]) -> list[str]:
    """One line per name, `< Name:[value value]`, in order of first appearance."""
    grouped: dict[str, list[str]] = {}
    for name, value in headers:
        grouped.setdefault(name, []).append(value)
    return [f"{prefix}{name}:[{' '.join(values)}]" for name, values in grouped.items()]
