"""How work is spread: what gateways and dataflow engines have to agree on with the scheduler."""

from dataclasses import dataclass, field

from shared.kafka.names import DEFAULT_MAX_CONSUMERS, GroupNames, TopicNames


@dataclass(frozen=True, slots=True)
class Sharing:
    """`owners_per_key` members run a resource at most; the consumers are the gateways' numbers of groups."""

    topics: TopicNames = field(default_factory=TopicNames)
    groups: GroupNames = field(default_factory=GroupNames)
    owners_per_key: int = 1
    model_consumers: int = DEFAULT_MAX_CONSUMERS
    pipeline_consumers: int = DEFAULT_MAX_CONSUMERS
