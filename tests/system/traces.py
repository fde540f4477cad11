"""Traces as trees: what a receiver got, in the words in which a test says what it expects."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from tests.peers.otlp import ReceivedSpan

Tree: TypeAlias = tuple[str, tuple["Tree", ...]]
"""`<service>: <span>`, and what is below it, in alphabetical order."""


def span(label: str, *below: Tree) -> Tree:
    return label, tuple(sorted(below))


def below(spans: Iterable[ReceivedSpan], parent: str) -> tuple[Tree, ...]:
    """The trees of the spans whose parent has this id."""
    known = list(spans)
    return tuple(
        sorted(span(label(one), *below(known, one.id)) for one in known if one.parent == parent),
    )


def label(one: ReceivedSpan) -> str:
    return f"{one.service.removeprefix('seldon-')}: {one.name}"


def size(tree: Tree) -> int:
    return 1 + sum(size(one) for one in tree[1])


def drawn(spans: Sequence[ReceivedSpan], parent: str, indent: str = "", first: int = 0) -> list[str]:
    """Lines for people: when each span began, in milliseconds since the first, how long it took, and what it is."""
    lines = []
    for one in sorted((one for one in spans if one.parent == parent), key=lambda one: one.start):
        begin = first or one.start
        times = f"{(one.start - begin) / 1e6:8.2f} {(one.end - one.start) / 1e6:8.2f}"
        lines.append(f"{times}  {indent}{label(one)}")
        lines += drawn(spans, one.id, indent + "  ", begin)
    return lines
