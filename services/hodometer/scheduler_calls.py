"""The five calls to the scheduler, each tried again while the scheduler does not answer."""

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from mlops.scheduler import scheduler_pb2 as pb
from mlops.scheduler import scheduler_pb2_grpc

from services.hodometer.core import counting
from services.hodometer.core.fields import Value
from services.hodometer.core.retries import scheduler_delays
from services.hodometer.core.tls_settings import Tls
from services.hodometer.settings import HodometerSettings
from shared import rpc

_NAME: Final = "hodometer"
_SECONDS: Final = 30.0
"""The longest that one attempt may take."""
_TRANSIENT: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED})
T = TypeVar("T")


async def open_channel(settings: HodometerSettings) -> grpc.aio.Channel:
    """A channel to the scheduler. Certificates are read anew each time. Raises OSError when one cannot be read."""
    if settings.tls is None:
        return rpc.channel(settings.scheduler_target)
    credentials = await asyncio.to_thread(read_credentials, settings.tls)
    return grpc.aio.secure_channel(settings.scheduler_target, credentials, options=list(rpc.client_options()))


def read_credentials(tls: Tls) -> grpc.ChannelCredentials:
    """Raises OSError that names the file."""
    return grpc.ssl_channel_credentials(
        root_certificates=tls.authority.read_bytes(),
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.certificate.read_bytes(),
    )


class SchedulerCalls:
    """Values by field name. Every method raises AioRpcError when the scheduler refuses or stays away."""

    def __init__(self, channel: grpc.aio.Channel, wait: Callable[[float], Awaitable[None]]) -> None:
        self._stub: Any = scheduler_pb2_grpc.SchedulerStub(channel)
        self._wait = wait

    async def version(self) -> dict[str, Value]:
        async def call() -> dict[str, Value]:
            answer = await self._stub.SchedulerStatus(pb.SchedulerStatusRequest(subscriberName=_NAME), timeout=_SECONDS)
            return {"seldon_core_version": answer.applicationVersion}

        return await self._retried(call)

    async def models(self) -> dict[str, Value]:
        async def call() -> dict[str, Value]:
            stream = self._stub.ModelStatus(pb.ModelStatusRequest(subscriberName=_NAME), timeout=_SECONDS)
            return {"model_count": await _count(stream, counting.is_model)}

        return await self._retried(call)

    async def pipelines(self) -> dict[str, Value]:
        async def call() -> dict[str, Value]:
            request = pb.PipelineStatusRequest(subscriberName=_NAME, allVersions=False)
            stream = self._stub.PipelineStatus(request, timeout=_SECONDS)
            return {"pipeline_count": await _count(stream, counting.is_running_pipeline)}

        return await self._retried(call)

    async def experiments(self) -> dict[str, Value]:
        async def call() -> dict[str, Value]:
            stream = self._stub.ExperimentStatus(pb.ExperimentStatusRequest(subscriberName=_NAME), timeout=_SECONDS)
            return {"experiment_count": await _count(stream, counting.is_active_experiment)}

        return await self._retried(call)

    async def servers(self) -> dict[str, Value]:
        async def call() -> dict[str, Value]:
            stream = self._stub.ServerStatus(pb.ServerStatusRequest(subscriberName=_NAME), timeout=_SECONDS)
            return counting.server_values([message async for message in stream])

        return await self._retried(call)

    async def _retried(self, call: Callable[[], Awaitable[T]]) -> T:
        for delay in scheduler_delays():
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                if error.code() not in _TRANSIENT:
                    raise
            await self._wait(delay)
        return await call()


async def _count(stream: AsyncIterable[T], counts: Callable[[T], bool]) -> int:
    return sum([counts(message) async for message in stream])
