"""The shape of a pipeline: who reads whose records, and how a node joins what it reads."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias


class Join(Enum):
    INNER = "inner"
    OUTER = "outer"
    ANY = "any"


class Kind(Enum):
    STEP = "step"
    OUTPUT = "output"
    INTAKE = "intake"
    """Makes the pipeline's own input out of other pipelines' records."""


@dataclass(frozen=True, slots=True)
class Slot:
    """What a node wants of one topic. Several references of a node to one topic are one slot."""

    index: int
    """Among all slots of the graph."""
    pipeline: str
    topic: str
    wanted: frozenset[bytes] | None
    """Names of tensors, at least one of which has to be there; None takes all that there are."""
    renames: Mapping[bytes, bytes]
    is_trigger: bool
    step: int | None = None
    """The node whose model writes the topic, or which writes it itself; None for what comes from outside."""
    is_echo: bool = False
    """Reads what node `step` sends to its model, not what the model answers."""

    @property
    def source(self) -> str:
        """As users write it: `tfsimple1.outputs`."""
        return ".".join(self.topic.split(".")[-2:])


@dataclass(frozen=True, slots=True)
class BatchLimits:
    rows: int
    window_ms: int | None


@dataclass(frozen=True, slots=True)
class Node:
    """One stream to join, from slots to a sink."""

    index: int
    kind: Kind
    name: str
    """Of the step, or of the pipeline."""
    sink: str
    data: tuple[Slot, ...]
    triggers: tuple[Slot, ...]
    join: Join
    trigger_join: Join
    window_ms: int | None
    batch: BatchLimits | None
    slots: tuple[Slot, ...] = field(init=False)
    is_output: bool = field(init=False)
    only_slot: Slot | None = field(init=False)
    """Of a node that joins nothing."""
    keeps_first: bool = field(init=False)
    """Takes the first data that comes, and then waits for triggers with it."""

    def __post_init__(self) -> None:
        # Looked at for every record, so worked out once.
        slots = self.data + self.triggers
        object.__setattr__(self, "slots", slots)
        object.__setattr__(self, "is_output", self.kind is Kind.OUTPUT)
        object.__setattr__(self, "only_slot", slots[0] if len(slots) == 1 else None)
        object.__setattr__(self, "keeps_first", self.join is Join.ANY and bool(self.triggers))

    @property
    def title(self) -> str:
        """For sentences."""
        return {Kind.STEP: f"step {self.name}", Kind.OUTPUT: "the output", Kind.INTAKE: "the input"}[self.kind]


Feed: TypeAlias = tuple[tuple[Node, tuple[Slot, ...]], ...]
"""The nodes that read one source, each with its slots for it."""


@dataclass(frozen=True, slots=True)
class Graph:
    nodes: tuple[Node, ...]
    feeds: Mapping[tuple[str, str], Feed]
    """By pipeline and topic, without what nodes read of each other's model inputs."""
    results: tuple[Feed, ...]
    """By node: who reads what its model answers."""
    echoes: tuple[Feed, ...]
    """By node: who reads what it sends to its model."""
    output: Node | None
    slots: int
    recurring: frozenset[int] = field(default=frozenset())
    """Nodes on a cycle or behind one: they may fire more than once for a request."""


def build(nodes: Sequence[Node]) -> Graph:
    by_source: dict[tuple[str, str], dict[int, list[Slot]]] = {}
    results: list[dict[int, list[Slot]]] = [{} for _ in nodes]
    echoes: list[dict[int, list[Slot]]] = [{} for _ in nodes]
    for node in nodes:
        for slot in node.slots:
            if slot.step is not None:
                readers = echoes if slot.is_echo else results
                readers[slot.step].setdefault(node.index, []).append(slot)
            if not slot.is_echo:
                by_source.setdefault((slot.pipeline, slot.topic), {}).setdefault(node.index, []).append(slot)

    def feed(readers: Mapping[int, list[Slot]]) -> Feed:
        return tuple((nodes[index], tuple(slots)) for index, slots in readers.items())

    return Graph(
        nodes=tuple(nodes),
        feeds={source: feed(readers) for source, readers in by_source.items()},
        results=tuple(feed(readers) for readers in results),
        echoes=tuple(feed(readers) for readers in echoes),
        output=next((node for node in nodes if node.kind is Kind.OUTPUT), None),
        slots=sum(len(node.slots) for node in nodes),
        recurring=_recurring(nodes),
    )


def _recurring(nodes: Iterable[Node]) -> frozenset[int]:
    """What is left after taking away, again and again, the nodes that need no node that is left."""
    needs = {node.index: {slot.step for slot in node.slots if slot.step is not None} for node in nodes}
    while free := [index for index, needed in needs.items() if not needed & needs.keys()]:
        for index in free:
            del needs[index]
    return frozenset(needs)
