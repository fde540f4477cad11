"""Reads the input topics of all models at this gateway, calls the models and writes what they answer."""

import asyncio
import contextlib
import time
from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from services.modelgateway.core.failures import Failure
from services.modelgateway.core.memory import Memory
from services.modelgateway.core.passed_headers import deadline_ms, for_call
from services.modelgateway.core.payloads import Poison, in_json, in_raw, json_of, request_of
from services.modelgateway.feed import Feed, Job
from services.modelgateway.inference import Inference, Reply
from services.modelgateway.metrics import GatewayMetrics
from services.modelgateway.outputs import Outputs
from services.modelgateway.spans import UNTRACED, Trace, begin
from shared.beside import Beside
from shared.errors import InvalidInput
from shared.kafka import headers as kafka
from shared.kafka.clients import KafkaClients
from shared.kafka.progress import Progress
from shared.kafka.reader import Record
from shared.logs import logger
from shared.tracing.log_fields import of_request
from shared.tracing.tracer import Tracer

_log = logger("gateway")
_POLL_DELAY: Final = 1.0


class Gateway:
    """The only user of the reader. One slow model stops nothing but the reading of its own partitions."""

    def __init__(
        self,
        clients: KafkaClients,
        inference: Inference,
        outputs: Outputs,
        memory: Memory,
        beside: Beside,
        metrics: GatewayMetrics,
        tracer: Tracer,
    ) -> None:
        self._memory = memory
        self._beside = beside
        self._was_over = False
        self._clients = clients
        self._inference = inference
        self._outputs = outputs
        self._metrics = metrics
        self._tracer = tracer
        self._by_topic: dict[str, Feed] = {}

    @property
    def feeds(self) -> Collection[Feed]:
        return self._by_topic.values()

    def add(self, feed: Feed, topic: str, starts: Mapping[TopicPartition, int]) -> None:
        """Read partitions of a model's input topic from these offsets on."""
        self._by_topic[topic] = feed
        feed.progress.update({partition: Progress(start) for partition, start in starts.items()})
        self._clients.reader.add(starts)
        if feed.paused:
            self._pause(feed, starts)

    async def quiesce(self, feed: Feed, partitions: Iterable[TopicPartition], seconds: float) -> None:
        """Stop reading these partitions of a model and let its calls in flight end within this time.

        What has not ended then is given up, and read again by whoever reads next.
        """
        stopped = set(partitions) & feed.progress.keys()
        self._clients.reader.remove(stopped)
        ended = {id(feed.progress[partition]) for partition in stopped}
        self._give(feed, feed.queue.drop(lambda job: id(job.progress) in ended))
        working = [task for task, progress in feed.tasks.items() if id(progress) in ended]
        if working:
            _, late = await asyncio.wait(working, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._start_calls(feed)

    def forget(self, feed: Feed, partitions: Iterable[TopicPartition]) -> None:
        """Drop the progress of partitions that are not read any more."""
        for partition in list(partitions):
            feed.progress.pop(partition, None)
            feed.committed.pop(partition, None)

    def remove(self, topic: str) -> None:
        """Forget a model."""
        feed = self._by_topic.pop(topic, None)
        if feed is not None:
            self._metrics.forget(feed.model)

    async def run(self) -> None:
        """Until cancelled. Raises Unavailable when the broker has lost its records."""
        while True:
            try:
                polled = await self._clients.reader.poll()
            except KafkaError as error:
                _log.warning("not read", reason=str(error) or type(error).__name__, retry_seconds=_POLL_DELAY)
                await asyncio.sleep(_POLL_DELAY)
                continue
            if polled:
                self._accept(polled)

    def _accept(self, polled: Mapping[TopicPartition, list[Record]]) -> None:
        touched: dict[str, Feed] = {}
        read = time.perf_counter()
        read_ns = time.time_ns() if self._tracer.on else 0
        for partition, records in polled.items():
            feed = self._by_topic.get(partition.topic)
            progress = feed.progress.get(partition) if feed is not None else None
            if feed is None or progress is None:
                continue
            for record in records:
                progress.begin(record.offset)
                job = Job(record, progress, read, read_ns)
                feed.queue.put(job, record.key, job.size)
                feed.held += job.size
                self._memory.take(job.size)
            touched[feed.model] = feed
        self._metrics.polled.observe(sum(map(len, polled.values())))
        for feed in touched.values():
            self._start_calls(feed)

    def _give(self, feed: Feed, size: int) -> None:
        feed.held -= size
        self._memory.give(size)

    def _start_calls(self, feed: Feed) -> None:
        for job in feed.queue.startable():
            task = asyncio.create_task(self._work(feed, job))
            feed.tasks[task] = job.progress
            task.add_done_callback(partial(self._ended, feed))
        if self._memory.over is not self._was_over:
            self._was_over = self._memory.over
            for each in self.feeds:
                self._regulate(each)
        self._regulate(feed)

    def _ended(self, feed: Feed, task: "asyncio.Task[None]") -> None:
        feed.tasks.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._metrics.unforeseen.labels(feed.model).inc()
            _log.error("work on a record ended unexpectedly", model=feed.model, exc_info=error)

    def _regulate(self, feed: Feed) -> None:
        """Read on for a model, or not."""
        if not feed.paused and (feed.queue.full or (self._memory.over and feed.held)):
            feed.paused = True
            self._pause(feed, feed.progress)
        elif feed.paused and feed.queue.drained and not (self._memory.over and feed.held):
            feed.paused = False
            for partition in feed.progress:
                self._clients.reader.resume(partition)

    def _pause(self, feed: Feed, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._clients.reader.pause(partition)

    async def _work(self, feed: Feed, job: Job) -> None:
        """From the record to its acknowledged outcome. Whatever goes wrong is that outcome, and work goes on."""
        queue, record = feed.queue, job.record
        self._metrics.wait_seconds.labels(feed.model).observe(time.perf_counter() - job.read)
        with contextlib.ExitStack() as stack:
            stack.callback(self._start_calls, feed)
            stack.callback(self._give, feed, job.size)
            stack.callback(queue.finished, record.key)
            trace = UNTRACED
            outcome: Reply | Failure
            try:
                if self._tracer.on:
                    trace = begin(self._tracer, record, feed.model, job.read_ns)
                stack.enter_context(trace.consume)
                outcome = await self._call(feed, record, trace)
            except Exception as error:
                outcome = self._unforeseen(feed.model, record, error)
            finally:
                queue.called()
            self._start_calls(feed)
            await self._deliver(feed, record, outcome, trace)
            job.progress.finish(record.offset)

    async def _deliver(self, feed: Feed, record: Record, outcome: Reply | Failure, trace: Trace) -> None:
        try:
            await self._outputs.write(feed.destination, record, outcome, trace)
        except Exception as error:
            failure = self._unforeseen(feed.model, record, error)
            try:
                await self._outputs.write(feed.destination, record, failure, UNTRACED)
            except Exception as again:
                self._unforeseen(feed.model, record, again)
                _log.error("outcome lost", model=feed.model, record=_place(record))

    def _unforeseen(self, model: str, record: Record, error: Exception) -> Failure:
        self._metrics.unforeseen.labels(model).inc()
        _log.error("record failed unexpectedly", model=model, record=_place(record), exc_info=error)
        return Failure("INTERNAL", repr(error))

    async def _call(self, feed: Feed, record: Record, trace: Trace) -> Reply | Failure:
        infer_type = kafka.text(record.headers, kafka.INFER_TYPE)
        try:
            request = await self._beside.run(len(record.value or b""), request_of, record.value, infer_type)
        except Poison as poison:
            return self._poisoned(feed.model, record, poison.kind, Failure("INVALID_ARGUMENT", str(poison)))
        outcome = await self._ask(feed, record, request, trace)
        if isinstance(outcome, Reply) and in_json(infer_type):
            try:
                text = await self._beside.run(len(outcome.value), json_of, outcome.value)
                return Reply(text, outcome.headers, is_json=True)
            except InvalidInput as error:
                return Failure("INTERNAL", f"the reply of {feed.model} cannot be written as JSON: {error}")
        return outcome

    async def _ask(self, feed: Feed, record: Record, request: bytes, trace: Trace) -> Reply | Failure:
        """With raw contents where the server has no other way to answer, which shows by its first failure."""
        if feed.answers_raw_only:
            request = await self._beside.run(len(request), in_raw, request)
        outcome = await self._infer(feed.model, record, request, trace)
        if feed.answers_raw_only or not (isinstance(outcome, Failure) and outcome.answers_raw_only):
            return outcome
        raw = await self._beside.run(len(request), in_raw, request)
        if raw == request:
            return outcome
        again = await self._infer(feed.model, record, raw, trace)
        feed.answers_raw_only = isinstance(again, Reply)
        return again

    async def _infer(self, model: str, record: Record, request: bytes, trace: Trace) -> Reply | Failure:
        with trace.call() as span:
            headers = span.carried_by(record.headers) if self._tracer.on else record.headers
            outcome = await self._inference.infer(model, request, for_call(headers, model), deadline_ms(record.headers))
            if isinstance(outcome, Failure):
                span.fail(outcome.code)
            return outcome

    def _poisoned(self, model: str, record: Record, kind: str, failure: Failure) -> Failure:
        self._metrics.poison.labels(model, kind).inc()
        # What is wrong with the record, in parts of its payload, is said to the caller alone.
        _log.warning(
            "record without a call", model=model, record=_place(record), kind=kind, **of_request(record.headers)
        )
        return failure


def _place(record: Record) -> str:
    return f"{record.topic}[{record.partition}]@{record.offset}"
