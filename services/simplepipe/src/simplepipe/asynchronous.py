"""The same for programs with an event loop: `AsyncMetricCollector`, and `async with collector.job("train") as job:`."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from os import PathLike
from types import TracebackType
from typing import Any, TypeVar

import httpx

from simplepipe.answers import clock_of, groups_of, hides_groups
from simplepipe.core import requests
from simplepipe.core.exposition import instruments_of
from simplepipe.core.metric import Metric
from simplepipe.core.names import checked_grouping, checked_job
from simplepipe.core.parsing import parse_metrics
from simplepipe.core.requests import Request
from simplepipe.errors import GatewayRefused, GatewayUnavailable, SimplepipeError
from simplepipe.files import load_metrics_from_file
from simplepipe.gateway import Gateway, Tls, check, failure
from simplepipe.live import LiveMetrics

logger = logging.getLogger(__name__)
_Coroutine = TypeVar("_Coroutine", bound=Callable[..., Awaitable[Any]])


class AsyncMetricCollector:
    """What MetricCollector is, with calls to await; arguments and errors are the same."""

    def __init__(
        self,
        prometheus_push_gateway_ip: str,
        *,
        grouping_key: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        tls: Tls | None = None,
        timeout: float = 10.0,
        deadline: float = 10.0,
    ) -> None:
        self.gateway = Gateway(prometheus_push_gateway_ip, basic_auth, tls, timeout, deadline)
        self.grouping_key = checked_grouping(grouping_key or {})

    async def load_and_push(self, fp: str | PathLike[str], job_name: str) -> None:
        """Push the metrics of a `.json` file."""
        # A large file takes a while to read and to judge.
        await self.push_to_gateway(await asyncio.to_thread(load_metrics_from_file, fp), job_name)

    async def parse_and_push(self, metrics: Sequence[Any], job_name: str) -> None:
        """Push a list of dictionaries."""
        await self.push_to_gateway(parse_metrics(metrics), job_name)

    async def push_to_gateway(self, metrics: Sequence[Metric], job_name: str) -> None:
        """Replace what the job's group holds by these metrics; other jobs and groups stay."""
        instruments = instruments_of(metrics, self.grouping_key)
        await self._send(requests.replace(self.gateway.url, checked_job(job_name), self.grouping_key, instruments))

    async def delete(self, job_name: str) -> None:
        """Take the job's group out of the Pushgateway."""
        await self._send(requests.remove(self.gateway.url, checked_job(job_name), self.grouping_key))

    def job(
        self,
        job_name: str,
        *,
        grouping_key: Mapping[str, str] | None = None,
        every: float = 5.0,
        delete_on_finish: bool = False,
        lenient: bool = False,
    ) -> AsyncJob:
        """A run that goes on and pushes meanwhile; see Job."""
        grouping = checked_grouping({**self.grouping_key, **(grouping_key or {})})
        return AsyncJob(self.gateway, job_name, grouping, every, delete_on_finish, lenient)

    def measure(self, job_name: str, **options: Any) -> Callable[[_Coroutine], _Coroutine]:
        """A decorator: every call of the coroutine function is a job; `options` are those of `job`."""

        def decorate(function: _Coroutine) -> _Coroutine:
            @functools.wraps(function)
            async def called(*arguments: Any, **named: Any) -> Any:
                async with self.job(job_name, **options):
                    return await function(*arguments, **named)

            return called  # type: ignore[return-value]

        return decorate

    async def _send(self, request: Request) -> None:
        async with httpx.AsyncClient(**self.gateway.client_options()) as client:
            await _send(client, self.gateway, request)


class AsyncJob(LiveMetrics):
    """What Job is, with a task instead of a thread."""

    def __init__(
        self, gateway: Gateway, name: str, grouping: dict[str, str], every: float, delete_on_finish: bool, lenient: bool
    ) -> None:
        super().__init__(gateway.url, name, grouping, every)
        self._gateway = gateway
        self._every = every
        self._delete_on_finish = delete_on_finish
        self._lenient = lenient
        self._open = AsyncExitStack()

    async def __aenter__(self) -> AsyncJob:
        self._pushing, self._ended = asyncio.Lock(), asyncio.Event()
        async with AsyncExitStack() as opened:
            self._client = await opened.enter_async_context(httpx.AsyncClient(**self._gateway.client_options()))
            try:
                await self.push()
            except GatewayUnavailable as away:
                if not self._lenient:
                    raise
                logger.warning("job %s: %s", self.name, away)
            self._open = opened.pop_all()
        self._task = asyncio.create_task(self._push_again_and_again())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not cancelled: a push that is on its way must not arrive after the last one.
        self._ended.set()
        await asyncio.wait([self._task])
        async with self._open:
            try:
                await self._finish(succeeded=kind is None)
            except SimplepipeError as problem:
                if kind is None and not (self._lenient and isinstance(problem, GatewayUnavailable)):
                    raise
                logger.warning("job %s: %s", self.name, problem)

    async def push(self) -> None:
        """Push now, instead of within the next seconds. Raises as Job's does."""
        if self.lost is not None:
            raise self.lost
        async with self._pushing:
            await self._refuse_when_taken()
            await self._send(self.next_push())

    async def _finish(self, succeeded: bool) -> None:
        if self.lost is not None:
            raise self.lost
        await self._refuse_when_taken()
        await self._send(self.removal() if self._delete_on_finish else self.last_push(succeeded))

    async def _push_again_and_again(self) -> None:
        while not await self._ends_within(self._every):
            try:
                await self.push()
            except GatewayUnavailable as away:
                logger.warning("job %s: %s; tried again in %g s", self.name, away, self._every)
            except SimplepipeError as final:
                self.lose(final)
                return

    async def _ends_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._ended.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        return True

    async def _refuse_when_taken(self) -> None:
        try:
            answer = await self._send(self.look())
        except GatewayRefused as refusal:
            if not hides_groups(refusal.status):
                raise
            return
        self.check_holder(groups_of(answer.text), clock_of(answer.headers))

    async def _send(self, request: Request) -> httpx.Response:
        return await _send(self._client, self._gateway, request)


async def _send(client: httpx.AsyncClient, gateway: Gateway, request: Request) -> httpx.Response:
    """The answer, a success. Raises GatewayUnavailable and GatewayRefused."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    tries = 0
    while True:
        tries += 1
        try:
            answer = await client.request(
                request.method, request.url, headers=list(request.headers), content=request.body,
                timeout=gateway.try_seconds(loop.time() - began),
            )  # fmt: skip
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        else:
            reason = failure(answer.status_code)
            if not reason:
                check(request, answer.status_code, answer.headers, answer.text)
                return answer
        wait = gateway.wait_seconds(tries, loop.time() - began)
        if wait is None:
            raise gateway.unavailable(reason, tries)
        await asyncio.sleep(wait)
