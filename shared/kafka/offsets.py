"""Committed offsets of any number of groups over one connection, without joining them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.commit import OffsetCommitRequest

from shared.kafka.config import KafkaConfig


class GroupOffsets:
    """Fetches and commits as an administrator does: the groups have no members, so there is nothing to rebalance."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin: AIOKafkaAdminClient | None = None
        self._coordinators: dict[str, int] = {}

    async def start(self) -> None:
        """Connect. Raises aiokafka's KafkaConnectionError when no broker answers."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._config.bootstrap_servers, **self._config.connection)
        try:
            await admin.start()
        except BaseException:
            await admin.close()
            raise
        self._admin = admin

    async def stop(self) -> None:
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def fetch(self, group: str, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The committed offsets; a partition for which the group has none is left out."""
        wanted = list(partitions)
        if not wanted:
            return {}
        assert self._admin is not None, "start it first"
        found = await self._admin.list_consumer_group_offsets(group, await self._coordinator(group), wanted)
        return {partition: entry.offset for partition, entry in found.items() if entry.offset >= 0}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Raises a KafkaError when the broker refuses; the next attempt then looks for the coordinator again."""
        if not offsets:
            return
        assert self._admin is not None, "start it first"
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
        try:
            response: Any = await self._admin._send_request(request, await self._coordinator(group))
            for _, partitions in response.topics:
                for _, code in partitions:
                    if code:
                        raise for_code(code)(f"committing offsets of group {group}")
        except Exception:
            self._coordinators.pop(group, None)
            raise

    async def _coordinator(self, group: str) -> int:
        assert self._admin is not None, "start it first"
        if group not in self._coordinators:
            self._coordinators[group] = await self._admin.find_coordinator(group)
        return self._coordinators[group]
