"""Notices logs that hold fewer records than they did, because a broker came back empty or a topic was made anew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition


@dataclass(frozen=True, slots=True)
class Findings:
    lost: tuple[TopicPartition, ...] = ()
    """They held records, seen here, that they do not hold any more."""
    foreign: tuple[TopicPartition, ...] = ()
    """Their positions were handed down from logs of the same name that held more than these ever did."""


class LogWatch:
    """How far each log was seen to reach."""

    def __init__(self) -> None:
        self._seen: dict[TopicPartition, int] = {}

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._seen.pop(partition, None)

    def look(self, ends: Mapping[TopicPartition, int], positions: Mapping[TopicPartition, int]) -> Findings:
        """Take note of the ends that the broker tells, and of those that are too early."""
        lost: list[TopicPartition] = []
        foreign: list[TopicPartition] = []
        for partition, end in ends.items():
            seen = self._seen.get(partition, 0)
            if end < seen:
                lost.append(partition)
            elif end < positions.get(partition, 0):
                foreign.append(partition)
            else:
                self._seen[partition] = end
        return Findings(tuple(lost), tuple(foreign))
