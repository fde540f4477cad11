"""Which versions of which pipelines a record concerns, at a cost that does not depend on how many there are."""

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from services.dataflow.core.ledger import Partition

Reader = TypeVar("Reader")


@dataclass(slots=True)
class Readers(Generic[Reader]):
    """Of the records of one partition that bear one pipeline's name."""

    of_version: dict[bytes, list[Reader]] = field(default_factory=dict)
    """By the version that the record must bear: what a pipeline's own models and errors say."""
    of_any: list[Reader] = field(default_factory=list)
    """What enters a pipeline: its input, and topics of other pipelines."""


Routes: TypeAlias = Mapping[bytes, Readers[Reader]]


class Index(Generic[Reader]):
    """By partition, not by topic: engines share a topic's partitions, and each pipeline in its own way."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, dict[bytes, Readers[Reader]]] = {}

    def of(self, partition: Partition) -> Routes[Reader] | None:
        """Readers by value of the header `pipeline`."""
        return self._partitions.get(partition)

    def add(
        self,
        reader: Reader,
        pipeline: str,
        version: int,
        input_topic: str,
        accepts: Mapping[str, Set[str]],
        partitions: Iterable[Partition],
    ) -> None:
        """`accepts`: per topic, the values of the header `pipeline` that concern this version."""
        stamp = str(version).encode()
        for partition in partitions:
            topic = partition[0]
            routes = self._partitions.setdefault(partition, {})
            for name in accepts[topic]:
                readers = routes.setdefault(name.encode(), Readers())
                if enters(topic, name, pipeline, input_topic):
                    readers.of_any.append(reader)
                else:
                    readers.of_version.setdefault(stamp, []).append(reader)

    def remove(self, reader: Reader, accepts: Mapping[str, Set[str]], partitions: Iterable[Partition]) -> None:
        """From all that it was added for; what nobody reads any more is forgotten."""
        for partition in partitions:
            routes = self._partitions.get(partition, {})
            for name in [name.encode() for name in accepts[partition[0]] if name.encode() in routes]:
                readers = routes[name]
                readers.of_any = [other for other in readers.of_any if other is not reader]
                for version, others in list(readers.of_version.items()):
                    readers.of_version[version] = [other for other in others if other is not reader]
                    if not readers.of_version[version]:
                        del readers.of_version[version]
                if not readers.of_any and not readers.of_version:
                    del routes[name]
            if not routes:
                self._partitions.pop(partition, None)


def enters(topic: str, name: str, pipeline: str, input_topic: str) -> bool:
    """Do records of this topic that bear `name` enter the pipeline, whatever version they bear?"""
    return topic == input_topic or name != pipeline
