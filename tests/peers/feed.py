"""Waiting on the scheduler's own status feed instead of on a clock."""

from collections.abc import Iterable
from typing import Any

from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc


async def until_all_available(
    api: "scheduler_pb2_grpc.SchedulerAsyncStub", names: Iterable[str], seconds: float = 20.0
) -> None:
    """Return when every named model is available; the call fails with DEADLINE_EXCEEDED after `seconds`."""
    feed: Any = api.SubscribeModelStatus(pb.ModelSubscriptionRequest(subscriberName="test"), timeout=seconds)
    missing = set(names)
    while missing:
        message = await feed.read()
        if message.versions[0].state.state == pb.ModelStatus.ModelAvailable:
            missing.discard(message.modelName)
    feed.cancel()
