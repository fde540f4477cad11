"""Committed offsets of any number of groups over one connection, without joining them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest

from shared.backoff import Attempts
from shared.kafka.admin import AdminConnection
from shared.kafka.aiokafka_private import ask_broker
from shared.kafka.config import KafkaConfig

_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 1.0
_RETRIES: Final = 9
_NO_ERROR: Final = 0


class GroupOffsets(AdminConnection):
    """Fetches and commits as an administrator does: the groups have no members, so there is nothing to rebalance."""

    def __init__(self, config: KafkaConfig) -> None:
        super().__init__(config)
        self._coordinators: dict[str, int] = {}

    async def fetch(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The committed offsets; a partition for which the group has none is left out. Raises a KafkaError."""
        wanted = list(partitions)
        if not wanted:
            return {}
        by_topic: dict[str, list[int]] = defaultdict(list)
        for partition in wanted:
            by_topic[partition.topic].append(partition.partition)
        # The library's own call takes a coordinator that is still loading for one without offsets.
        response = await self._answer(group, OffsetFetchRequest(group, list(by_topic.items())))
        return {
            TopicPartition(topic, partition): offset
            for topic, entries in response.topics
            for partition, offset, _, _ in entries
            if offset >= 0
        }

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises a KafkaError when the broker refuses."""
        if not offsets:
            return
        by_topic: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for partition, offset in offsets.items():
            by_topic[partition.topic].append((partition.partition, offset, ""))
        request = OffsetCommitRequest(
            group,
            OffsetCommitRequest.DEFAULT_GENERATION_ID,
            "",
            OffsetCommitRequest.DEFAULT_RETENTION_TIME,
            list(by_topic.items()),
        )
        await self._answer(group, request)

    async def _answer(self, group: str, request: Any) -> Any:
        """Ask the group's coordinator, again for some seconds while it moves, loads, or has just been asked for."""
        async for attempt in Attempts(_FIRST_DELAY, _LONGEST_DELAY, _RETRIES + 1):
            try:
                return await self._ask(group, request)
            except KafkaError as error:
                self._coordinators.pop(group, None)
                if not error.retriable or attempt.is_last:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _ask(self, group: str, request: Any) -> Any:
        if group not in self._coordinators:
            self._coordinators[group] = await self._admin.find_coordinator(group)
        response: Any = await ask_broker(self._admin, self._coordinators[group], request)
        codes = [getattr(response, "error_code", _NO_ERROR)]
        codes += [entry[-1] for _, entries in response.topics for entry in entries]
        for code in codes:
            if code != _NO_ERROR:
                raise for_code(code)(f"group {group}")
        return response
