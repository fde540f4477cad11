"""What a pipeline without cycles must do with the events of one request, worked out the slow way: from definitions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

Named = list[tuple[str, int]]
"""Tensors: a name and a number that tells where it came from."""


@dataclass(frozen=True)
class Source:
    """Of a node: the pipeline's input, or what goes to a step or comes from it."""

    step: int | None
    is_echo: bool
    wanted: frozenset[str] | None


@dataclass(frozen=True)
class NodeSpec:
    data: tuple[Source, ...]
    triggers: tuple[Source, ...]
    join: str
    trigger_join: str


@dataclass
class Story:
    """One request: what entered, and what each model said, in the order in which it was read."""

    nodes: Sequence[NodeSpec]
    events: list[tuple[int | None, Named | None]] = field(default_factory=list)
    """The step, or None for the input, and its tensors; None for an error."""

    def at(self, time: int) -> "Moment":
        return Moment(self, time)


@dataclass(frozen=True)
class Fact:
    tensors: Named | None
    """None: the source came without what is wanted, or never will come."""
    since: int


class Moment:
    """After the first `time` events."""

    def __init__(self, story: Story, time: int) -> None:
        self._nodes = story.nodes
        self._events = story.events[:time]
        self._fired: dict[int, tuple[int, Named] | None] = {}

    @cached_property
    def fired(self) -> dict[int, Named]:
        """By node: what it passed on."""
        found = {index: self._fire(index) for index in range(len(self._nodes))}
        return {index: fire[1] for index, fire in found.items() if fire is not None}

    @property
    def dead(self) -> set[int]:
        return {index for index in range(len(self._nodes)) if self._is_dead(index, len(self._events))}

    def _fire(self, index: int) -> tuple[int, Named] | None:
        """When, and with what."""
        if index not in self._fired:
            self._fired[index] = None
            node = self._nodes[index]
            for time in range(1, len(self._events) + 1):
                data, triggers = self._facts(node.data, time), self._facts(node.triggers, time)
                if _ready(node.join, data) and (not triggers or _ready(node.trigger_join, triggers)):
                    self._fired[index] = (time, _content(node.join, data))
                    break
        return self._fired[index]

    def _is_dead(self, index: int, time: int) -> bool:
        node = self._nodes[index]
        fire = self._fire(index)
        if fire is not None and fire[0] <= time:
            return False
        data, triggers = self._facts(node.data, time), self._facts(node.triggers, time)
        return _hopeless(node.join, data) or (bool(triggers) and _hopeless(node.trigger_join, triggers))

    def _facts(self, sources: Sequence[Source], time: int) -> list[Fact | None]:
        return [self._fact(source, time) for source in sources]

    def _fact(self, source: Source, time: int) -> Fact | None:
        found = self._came(source, time)
        if found is None:
            if source.step is not None and self._is_dead(source.step, time):
                return Fact(None, time)
            return None
        since, tensors = found
        if tensors is None:
            return Fact(None, since)
        kept = [each for each in tensors if source.wanted is None or each[0] in source.wanted]
        return Fact(kept or None, since)

    def _came(self, source: Source, time: int) -> tuple[int, Named | None] | None:
        if source.is_echo:
            assert source.step is not None
            fire = self._fire(source.step)
            return fire if fire is not None and fire[0] <= time else None
        for index, (step, tensors) in enumerate(self._events[:time]):
            if step == source.step:
                return index + 1, tensors
        return None


def _present(facts: Sequence[Fact | None]) -> list[Fact]:
    return [fact for fact in facts if fact is not None and fact.tensors is not None]


def _ready(join: str, facts: Sequence[Fact | None]) -> bool:
    present = _present(facts)
    if join == "inner":
        return len(present) == len(facts)
    if join == "outer":
        return bool(present) and None not in facts
    return bool(present)


def _hopeless(join: str, facts: Sequence[Fact | None]) -> bool:
    absent = [fact for fact in facts if fact is not None and fact.tensors is None]
    return len(absent) == len(facts) or (join == "inner" and bool(absent))


def _content(join: str, facts: Sequence[Fact | None]) -> Named:
    present = _present(facts)
    if join == "any":
        first = min(fact.since for fact in present)
        present = [fact for fact in present if fact.since == first]
    return [each for fact in present for each in fact.tensors or []]


def describe(nodes: Sequence[NodeSpec]) -> str:
    return "\n".join(map(repr, nodes))
