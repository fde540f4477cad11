"""One version of a pipeline at work on this engine."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from services.dataflow import metrics
from services.dataflow.core.flow import Flow
from services.dataflow.core.index import enters
from services.dataflow.core.ledger import Ledger
from services.dataflow.core.topology import Topology
from services.dataflow.core.valve import NOTHING, Load


@dataclass(eq=False, slots=True)
class Running:
    """Compared by identity: the same version started again is another one."""

    topology: Topology
    owners: tuple[str, ...]
    group: str
    partitions: Mapping[str, int]
    """How many each topic has."""
    flow: Flow
    ledger: Ledger
    committed: dict[TopicPartition, int]
    """As Kafka has it."""
    starts: Mapping[TopicPartition, int]
    """Where it began to read, this time."""
    failed: bool = False
    """A record could not be sent; what follows is void until the version starts again from its committed offsets."""
    attached: bool = False
    load: Load = NOTHING
    """Of the flow, as the engine has taken note of it."""
    due: int | None = None
    """When the flow wants its next tick, milliseconds since the epoch."""
    commit_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def uid(self) -> str:
        return self.topology.uid

    @property
    def name(self) -> str:
        return f"{self.topology.pipeline} version {self.topology.version}"

    @property
    def entries(self) -> list[TopicPartition]:
        """The partitions on which records enter the pipeline."""
        topology = self.topology
        return [
            TopicPartition(*partition)
            for partition in self.ledger.sources
            if any(
                enters(partition[0], name, topology.pipeline, topology.input_topic)
                for name in topology.accepts[partition[0]]
            )
        ]

    def count(self, records_in: int, records_out: int) -> None:
        pipeline = self.topology.pipeline
        if records_in:
            metrics.RECORDS_IN.labels(pipeline).inc(records_in)
        if records_out:
            metrics.RECORDS_OUT.labels(pipeline).inc(records_out)


def partitions_of(counts: Mapping[str, int], numbers: frozenset[int], lowest: int) -> set[TopicPartition]:
    """The partitions that belong to this engine. `numbers` are its own of `lowest`, the fewest that a topic has.

    A key that names a partition which a topic lacks goes to that topic's last one, so all of a request's partitions
    have the same owner.
    """
    return {
        TopicPartition(topic, number)
        for topic, count in counts.items()
        for number in range(count)
        if min(number, lowest - 1) in numbers
    }
