"""The one place where topics are made and removed."""

import asyncio
from collections.abc import Iterable
from typing import Final

from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from shared.errors import DeadlineExceeded, Unavailable
from shared.kafka.admin import AdminConnection
from shared.kafka.aiokafka_private import counts_of_partitions

_VISIBLE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 1.0
_NO_ERROR: Final = 0


class TopicAdmin(AdminConnection):
    """Makes topics as every client expects them: the same partitions, replication and message limit on each."""

    async def ensure(self, names: Iterable[str]) -> dict[str, int]:
        """Create what is missing; the number of partitions of each, once the broker shows them.

        Raises Unavailable when the broker refuses and DeadlineExceeded when a topic does not appear.
        """
        wanted = sorted(set(names))
        counts = await self.partitions(wanted)
        missing = [name for name in wanted if name not in counts]
        if missing:
            await self._create(missing)
            counts |= await self._appeared(missing)
        return counts

    async def answers(self) -> None:
        """Ask the least there is to ask. Raises KafkaError when no broker answers."""
        await self._admin.describe_topics([])

    async def partitions(self, names: Iterable[str]) -> dict[str, int]:
        """The number of partitions of those topics that exist. Raises Unavailable."""
        wanted = set(names)
        try:
            return await counts_of_partitions(self._admin, wanted) if wanted else {}
        except KafkaError as error:
            raise Unavailable(f"Kafka does not tell its topics: {error!r}") from None

    async def delete(self, names: Iterable[str]) -> None:
        """Remove topics with all their records; what does not exist is ignored. Raises Unavailable."""
        try:
            response = await self._admin.delete_topics(list(names))
        except KafkaError as error:
            raise Unavailable(f"Kafka does not delete topics: {error!r}") from None
        for name, code in response.topic_error_codes:
            if code not in (_NO_ERROR, UnknownTopicOrPartitionError.errno):
                raise Unavailable(f"Kafka does not delete topic {name}: {for_code(code).__name__}")

    async def _create(self, names: list[str]) -> None:
        config = self._config
        limit = {"max.message.bytes": str(config.message_max_bytes)}
        topics = [NewTopic(name, config.partitions, config.replication_factor, topic_configs=limit) for name in names]
        try:
            response = await self._admin.create_topics(topics)
        except KafkaError as error:
            raise Unavailable(f"Kafka does not create topics {', '.join(names)}: {error!r}") from None
        for name, code, *message in response.topic_errors:
            if code not in (_NO_ERROR, TopicAlreadyExistsError.errno):
                reason = message[0] if message and message[0] else for_code(code).__name__
                raise Unavailable(f"Kafka does not create topic {name}: {reason}")

    async def _appeared(self, names: list[str]) -> dict[str, int]:
        delay, waited = _LOOK_SECONDS, 0.0
        while True:
            counts = await self.partitions(names)
            if len(counts) == len(names):
                return counts
            if waited > _VISIBLE_SECONDS:
                missing = ", ".join(name for name in names if name not in counts)
                raise DeadlineExceeded(f"topics {missing} were created and did not appear within {waited:.0f} s")
            await asyncio.sleep(delay)
            waited, delay = waited + delay, min(delay * 2, _LONGEST_LOOK_SECONDS)
