"""The topics on which answers come: every partition of each is read, from the moment that it is added."""

from collections.abc import Iterable, Mapping

from aiokafka import TopicPartition

from shared.kafka.reader import Reader


class AnswerTopics:
    """Which of them this gateway's reader reads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def read(self, partitions: Mapping[str, int]) -> None:
        """Read these topics, by their number of partitions, from their ends; those that are read already go on."""
        wanted = {TopicPartition(topic, number) for topic, count in partitions.items() for number in range(count)}
        missing = wanted - self._reader.partitions
        if missing:
            self._reader.add(await self._reader.end_offsets(missing))

    def forget(self, topics: Iterable[str]) -> None:
        dropped = set(topics)
        self._reader.remove([partition for partition in self._reader.partitions if partition.topic in dropped])
