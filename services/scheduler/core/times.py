"""Seconds since the epoch, as people and messages read them."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def iso(seconds: float) -> str:
    """For example `2024-05-01T12:00:00Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def timestamp(seconds: float) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(int(seconds * 1_000_000) * 1_000)
    return stamp
