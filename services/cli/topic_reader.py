"""Kafka, read from the end: the newest records of a topic, without a consumer group and without leaving a trace."""

import asyncio
from collections.abc import Callable
from typing import Final, Self

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.cli.failures import CommandFailed, unreachable_hint
from shared.kafka.config import KafkaConfig
from shared.kafka.reader import Reader, Record
from shared.kafka.topics import TopicAdmin

_CONNECT_SECONDS: Final = 10.0


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
        await self._reader.stop()
        await self._admin.stop()

    async def newest(
        self, topic: str, count: int, seconds: float, wanted: Callable[[Record], bool], wait: bool
    ) -> list[Record]:
        """Those that are `wanted` among the newest `count` records of each partition, oldest first.

        A topic that does not exist has none. Reads for `seconds` at most; with `wait` all of them, unless something
        is wanted before.
        """
        found: list[Record] = []
        try:
            async with asyncio.timeout(seconds):
                ends = await self._go_back(topic, count)
                while (wait and not found) or any(self._reader.position(each) < end for each, end in ends.items()):
                    for records in (await self._reader.poll()).values():
                        found += filter(wanted, records)
        except TimeoutError:
            pass  # What was found until now is the answer.
        except (KafkaError, OSError) as error:
            raise self._away(error) from None
        finally:
            self._reader.remove(self._reader.partitions)
        return sorted(found, key=lambda record: (record.timestamp, record.partition, record.offset))

    async def _go_back(self, topic: str, count: int) -> dict[TopicPartition, int]:
        """Set every partition back by `count` records; where each ends now."""
        # Asking for a topic that does not exist would make some brokers create it.
        number = (await self._admin.partitions([topic])).get(topic, 0)
        partitions = [TopicPartition(topic, each) for each in range(number)]
        ends = await self._reader.end_offsets(partitions)
        oldest = await self._reader.beginning_offsets(partitions)
        self._reader.add({each: max(oldest[each], end - count) for each, end in ends.items()})
        return ends

    def _away(self, error: BaseException) -> CommandFailed:
        host = self._config.bootstrap_servers
        reason = "it does not answer in time" if isinstance(error, TimeoutError) else str(error) or repr(error)
        hint = unreachable_hint("Kafka", host, "--kafka-broker", "SELDON_KAFKA_BROKER")
        return CommandFailed(f"Kafka at {host} cannot be read: {reason}", hint)
