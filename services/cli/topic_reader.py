"""Kafka, read from the end: the newest records of a topic, without a consumer group and without leaving a trace."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.cli.failures import CommandFailed, unreachable_hint
from shared.errors import SeldonError
from shared.kafka.config import KafkaConfig
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import TopicAdmin

_CONNECT_SECONDS: Final = 10.0
_STOP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Search:
    """How far to look. Of the newest `looked_at` records of each partition, the newest `shown` that are wanted."""

    looked_at: int
    shown: int
    seconds: float
    """For everything together."""
    wait: bool = False
    """Until something is wanted, or the time is up."""


@dataclass(frozen=True, slots=True)
class Found:
    """Records by topic, oldest first."""

    records: dict[str, list[Record]]
    unfinished: frozenset[str]
    """Topics that were not read to their end in time."""


class TopicReader:
    """One connection, as an async context manager. Every method raises CommandFailed when Kafka does not answer."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin = TopicAdmin(config)
        self._reader = Reader(config)

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._admin.start()
                await self._reader.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self.__aexit__()
            raise self._away(error) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(TimeoutError, KafkaError):  # nothing depends on how it ends
            async with asyncio.timeout(_STOP_SECONDS):
                await self._reader.stop()
                await self._admin.stop()

    async def newest(self, topics: Sequence[str], search: Search, wanted: Callable[[Record], bool]) -> Found:
        """What is `wanted` among the newest records of each partition; of a topic that does not exist, nothing."""
        kept: dict[TopicPartition, deque[Record]] = {}
        ends: dict[TopicPartition, int] = {}
        deadline = asyncio.get_running_loop().time() + search.seconds
        try:
            async with asyncio.timeout_at(deadline):
                ends = await self._go_back(topics, search)
                # One assignment for all of it: a consumer that is emptied and filled again may trip over itself.
                while self._unread(ends) or (search.wait and not kept and ends):
                    for partition, records in (await self._reader.poll()).items():
                        mine = kept.setdefault(partition, deque(maxlen=search.shown))
                        mine.extend(filter(wanted, records))
                        if not mine:
                            del kept[partition]
        except TimeoutError:
            pass  # What was found until now is the answer.
        except (KafkaError, SeldonError, OSError) as error:
            raise self._away(error) from None
        found: dict[str, list[Record]] = {topic: [] for topic in topics}
        for partition, mine in kept.items():
            found[partition.topic].extend(mine)
        return Found(
            {topic: sorted(records, key=_age) for topic, records in found.items()},
            unfinished=frozenset(partition.topic for partition in self._unread(ends)),
        )

    def _unread(self, ends: Mapping[TopicPartition, int]) -> list[TopicPartition]:
        return [each for each, end in ends.items() if self._reader.position(each) < end]

    async def _go_back(self, topics: Iterable[str], search: Search) -> dict[TopicPartition, int]:
        """Set every partition back by the number of records to look at; where each ends now."""
        # Asking for a topic that does not exist would make some brokers create it.
        numbers = await self._admin.partitions(topics)
        partitions = [TopicPartition(topic, each) for topic, number in numbers.items() for each in range(number)]
        if not partitions:
            return {}
        ends = await self._reader.end_offsets(partitions)
        oldest = await self._reader.beginning_offsets(partitions)
        self._reader.add({each: max(oldest[each], end - search.looked_at) for each, end in ends.items()})
        return ends

    def _away(self, error: BaseException) -> CommandFailed:
        host = self._config.bootstrap_servers
        reason = "it does not answer in time" if isinstance(error, TimeoutError) else str(error) or repr(error)
        hint = unreachable_hint("Kafka", host, "--kafka-broker", "SELDON_KAFKA_BROKER")
        return CommandFailed(f"Kafka at {host} cannot be read: {reason}", hint)


def _age(record: Record) -> tuple[int, int, int]:
    return record.timestamp, record.partition, record.offset
