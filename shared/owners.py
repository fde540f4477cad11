"""Who shares a model or a pipeline: sent inside an instruction, as a field that other peers skip."""

from collections.abc import Sequence

from google.protobuf.message import Message
from mesh.owners_pb2 import Owners


def attach(message: Message, owners: Sequence[str]) -> None:
    """Add the owners, by subscriber name, to an instruction."""
    message.MergeFromString(Owners(owners=owners).SerializeToString())


def owners_of(message: Message) -> tuple[str, ...]:
    """The owners in an instruction; empty when its sender knows nothing of sharing, then its receiver owns all."""
    return tuple(Owners.FromString(message.SerializeToString()).owners)


def share(owners: Sequence[str], me: str, partitions: int) -> frozenset[int]:
    """The partitions, of 0 to `partitions` - 1, that belong to `me`: those that leave my position when divided.

    All of them when nobody is named, none when others are and I am not.
    """
    if not owners:
        return frozenset(range(partitions))
    if me not in owners:
        return frozenset()
    return frozenset(range(owners.index(me), partitions, len(owners)))
