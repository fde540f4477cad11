"""Models that are called by their own topics, without a pipeline; found on first use, forgotten when idle."""

import asyncio
import contextlib
import time
from typing import Final

from services.pipelinegateway.answer_topics import AnswerTopics
from services.pipelinegateway.core.resources import Kind, Resource
from services.pipelinegateway.routes import Route
from shared.errors import NotFound
from shared.kafka.names import TopicNames
from shared.kafka.topics import TopicAdmin

_UNKNOWN_SECONDS: Final = 1.0
_MOST_UNKNOWN: Final = 1000
_IDLE_SECONDS: Final = 60.0


class Models:
    """Answers of a model come on its output topic, its errors on the topic that all models share."""

    def __init__(self, names: TopicNames, topics: TopicAdmin, answers: AnswerTopics) -> None:
        self._names = names
        self._topics = topics
        self._answers = answers
        self._routes: dict[str, Route] = {}
        self._used: dict[str, float] = {}
        self._unknown: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def route(self, name: str) -> Route:
        """Raises NotFound when the model has no topics; Unavailable or a KafkaError when Kafka does not say."""
        self._used[name] = time.monotonic()
        try:
            return self._routes.get(name) or await self._find(name)
        except BaseException:
            self._used.pop(name, None)
            raise

    async def _find(self, name: str) -> Route:
        async with self._lock:
            # Someone else may have looked while this waited for the lock.
            if name not in self._routes:
                if time.monotonic() - self._unknown.get(name, float("-inf")) < _UNKNOWN_SECONDS:
                    raise _no_topics(name)
                self._routes[name] = await self._look(name)
            return self._routes[name]

    async def _look(self, name: str) -> Route:
        inputs, outputs, errors = self._names.model_inputs(name), self._names.model_outputs(name), self._names.errors
        found = await self._topics.partitions([inputs, outputs])
        if len(found) < 2:
            if len(self._unknown) >= _MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[name] = time.monotonic()
            raise _no_topics(name)
        found |= await self._topics.ensure([errors])
        await self._answers.read({outputs: found[outputs], errors: found[errors]})
        return Route(Resource(Kind.MODEL, name), inputs, frozenset([outputs, errors]), found[inputs])

    async def forget_idle(self) -> None:
        """For ever: stop reading for models that nobody has called lately, as their topics may be deleted."""
        while True:
            await asyncio.sleep(_IDLE_SECONDS)
            async with self._lock:
                self._forget(before=time.monotonic() - _IDLE_SECONDS)

    def _forget(self, before: float) -> None:
        for name, route in list(self._routes.items()):
            if not route.in_flight and self._used.get(name, before) <= before:
                del self._routes[name]
                with contextlib.suppress(KeyError):
                    del self._used[name]
                self._answers.forget([self._names.model_outputs(name)])
        if not self._routes:
            self._answers.forget([self._names.errors])


def _no_topics(name: str) -> NotFound:
    return NotFound(f"model {name} has no topics: it is not loaded, or no model gateway has taken it up")
