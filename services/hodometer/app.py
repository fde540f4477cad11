"""The collector's loop: collect, publish, wait, for ever."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from uuid import uuid4

from services.hodometer.collection import Collection
from services.hodometer.core.build import VERSION
from services.hodometer.core.event import event_of
from services.hodometer.publishing import Publisher
from services.hodometer.settings import HodometerSettings
from shared.logs import logger

_log = logger("hodometer")


async def run(
    settings: HodometerSettings,
    environment: Mapping[str, str],
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Run until cancelled. `wait` passes the seconds between runs and between attempts."""
    _log.info("build information", version=VERSION, git_commit=settings.git_commit)
    cluster_id = settings.cluster_id or uuid4()
    if settings.cluster_id is None:
        _log.info("CLUSTER_ID is no UUID or not set: a random one is used until this process ends")
    collection = Collection(settings, environment, wait)
    publisher = Publisher(settings.destinations, wait)
    while True:
        _log.info(f"collect metrics and publish at {datetime.now(UTC).isoformat(timespec='seconds')}")
        if settings.destinations:
            collected = await collection.collect()
            await publisher.publish(event_of(settings.level, collected, cluster_id, time.time_ns()))
        else:
            _log.warning("nothing is collected or published: neither PUBLISH_URL nor EXTRA_PUBLISH_URLS is set")
        _log.info(f"next run after {duration_text(settings.interval_seconds)}")
        await wait(settings.interval_seconds)


def duration_text(seconds: int) -> str:
    """`8h0m0s`, `1m30s`, `5s`."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
