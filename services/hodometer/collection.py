"""One collection: all sources asked at once; one that fails leaves its fields out and a line in the log."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import grpc.aio

from services.hodometer.core.build import VERSION
from services.hodometer.core.fields import Level, Value
from services.hodometer.kubernetes_version import ACCOUNT, inside_cluster, server_version
from services.hodometer.scheduler_calls import SchedulerCalls, open_channel
from services.hodometer.settings import HodometerSettings
from shared.logs import logger

_log = logger("collection")


class Collection:
    """Asks only for what the level lets out. `wait` passes the seconds between attempts."""

    def __init__(
        self,
        settings: HodometerSettings,
        environment: Mapping[str, str],
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        account: Path = ACCOUNT,
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._wait = wait
        self._account = account

    async def collect(self) -> dict[str, Value]:
        """Values by field name, without those that could not be had. Raises nothing."""
        kubernetes, scheduler = await asyncio.gather(
            _guarded("kubernetes", self._kubernetes()),
            _guarded("scheduler", self._scheduler()),
        )
        own = {"collector_version": VERSION, "collector_git_commit": self._settings.git_commit}
        return {**own, **kubernetes, **scheduler}

    async def _kubernetes(self) -> dict[str, Value]:
        if not inside_cluster(self._environment):
            _log.warning("not inside Kubernetes: its version is left empty")
            return {}
        return {"kubernetes_version": await server_version(self._environment, self._account)}

    async def _scheduler(self) -> dict[str, Value]:
        async with await open_channel(self._settings) as channel:
            calls = SchedulerCalls(channel, self._wait)
            sources = {"scheduler status": calls.version}
            if self._settings.level >= Level.RESOURCE:
                sources |= {
                    "models": calls.models,
                    "pipelines": calls.pipelines,
                    "experiments": calls.experiments,
                    "servers": calls.servers,
                }
            answers = await asyncio.gather(*(_guarded(name, ask()) for name, ask in sources.items()))
        return {name: value for answer in answers for name, value in answer.items()}


async def _guarded(source: str, answer: Awaitable[dict[str, Value]]) -> dict[str, Value]:
    try:
        return await answer
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            # What the scheduler cannot have, it has none of.
            _log.info("unknown to this scheduler, sent as zero", source=source)
            return {}
        reason = f"{error.code().name}: {error.details()}"
    # Whatever one source does must not cost the others.
    except Exception as error:
        reason = repr(error)
    _log.error("not collected, sent as zero", source=source, reason=reason)
    return {}
