"""Which versions of which pipelines a record concerns, at a cost that does not depend on how many there are."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

Reader = TypeVar("Reader")


@dataclass(slots=True)
class Readers(Generic[Reader]):
    """Of the records on one topic that bear one pipeline's name."""

    of_version: dict[bytes, list[Reader]] = field(default_factory=dict)
    """By the version that the record must bear: what a pipeline's own models and errors say."""
    of_any: list[Reader] = field(default_factory=list)
    """What enters a pipeline: its input, and topics of other pipelines."""


Routes: TypeAlias = Mapping[bytes, Readers[Reader]]


class Index(Generic[Reader]):
    def __init__(self) -> None:
        self._topics: dict[str, dict[bytes, Readers[Reader]]] = {}

    def of(self, topic: str) -> Routes[Reader] | None:
        """Readers by value of the header `pipeline`."""
        return self._topics.get(topic)

    def add(
        self, reader: Reader, pipeline: str, version: int, input_topic: str, accepts: Mapping[str, Set[str]]
    ) -> None:
        """`accepts`: per topic, the values of the header `pipeline` that concern this version."""
        for topic, names in accepts.items():
            routes = self._topics.setdefault(topic, {})
            for name in names:
                readers = routes.setdefault(name.encode(), Readers())
                if enters(topic, name, pipeline, input_topic):
                    readers.of_any.append(reader)
                else:
                    readers.of_version.setdefault(str(version).encode(), []).append(reader)

    def remove(self, reader: Reader, accepts: Mapping[str, Set[str]]) -> None:
        """From all that it was added for; what nobody reads any more is forgotten."""
        for topic, names in accepts.items():
            routes = self._topics.get(topic, {})
            for name in [name.encode() for name in names if name.encode() in routes]:
                readers = routes[name]
                readers.of_any = [other for other in readers.of_any if other is not reader]
                for version, others in list(readers.of_version.items()):
                    readers.of_version[version] = [other for other in others if other is not reader]
                    if not readers.of_version[version]:
                        del readers.of_version[version]
                if not readers.of_any and not readers.of_version:
                    del routes[name]
            if not routes:
                self._topics.pop(topic, None)


def enters(topic: str, name: str, pipeline: str, input_topic: str) -> bool:
    """Do records of this topic that bear `name` enter the pipeline, whatever version they bear?"""
    return topic == input_topic or name != pipeline
