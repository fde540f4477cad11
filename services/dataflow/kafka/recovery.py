"""Where a version starts to read, and what it emitted before that because of records it reads again."""

from collections.abc import Collection, Mapping

from aiokafka import TopicPartition

from services.dataflow.core.flow import Flow
from services.dataflow.core.topology import Topology
from shared.kafka import headers
from shared.kafka.config import KafkaConfig
from shared.kafka.reader import Reader


async def clamped(
    reader: Reader, offsets: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Offsets moved into what the log still has: records are removed when they are old."""
    if not offsets:
        return {}
    oldest = await reader.beginning_offsets(offsets)
    return {partition: min(max(offset, oldest[partition]), ends[partition]) for partition, offset in offsets.items()}


async def tell_emitted(
    config: KafkaConfig,
    flow: Flow,
    topology: Topology,
    positions: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> int:
    """Tell the flow which of its records are in the sinks between these offsets; how many there are.

    A reader of its own, for as long as this takes: the shared one reads sources.
    """
    wanted = {partition: start for partition, start in positions.items() if start < ends[partition]}
    if not wanted:
        return 0
    reader = Reader(config)
    await reader.start()
    try:
        reader.add(wanted)
        return await _read(reader, flow, topology, {partition: ends[partition] for partition in wanted})
    finally:
        await reader.stop()


async def _read(reader: Reader, flow: Flow, topology: Topology, ends: dict[TopicPartition, int]) -> int:
    own = (topology.pipeline.encode(), str(topology.version).encode())
    told = 0
    while ends:
        for partition, records in (await reader.poll()).items():
            for record in records:
                if record.offset >= ends.get(partition, 0):
                    break
                if _marks(record.headers) == own:
                    flow.emitted_before(partition.topic, record.key, record.headers)
                    told += 1
        finished = [partition for partition, end in ends.items() if reader.position(partition) >= end]
        for partition in finished:
            del ends[partition]
        reader.remove(finished)
    return told


def _marks(record_headers: Collection[tuple[str, bytes]]) -> tuple[bytes | None, bytes | None]:
    found = dict(record_headers)
    return found.get(headers.PIPELINE), found.get(headers.PIPELINE_VERSION)
