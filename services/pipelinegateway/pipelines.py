"""The pipelines that this gateway serves, as the scheduler says."""

import asyncio
import contextlib
from collections import defaultdict
from typing import Final

from services.pipelinegateway.answer_topics import AnswerTopics
from services.pipelinegateway.core.definitions import Definition
from services.pipelinegateway.core.resources import Kind, Resource
from services.pipelinegateway.routes import Route
from shared.errors import NotFound, Unavailable
from shared.kafka.names import TopicNames
from shared.kafka.topics import TopicAdmin

_SETTLE_SECONDS: Final = 5.0
"""After the first subscription: by then the scheduler has said which pipelines it wants here."""
_LONGEST_WAIT_SECONDS: Final = 10.0


class Pipelines:
    """Loaded by name: another version of a pipeline replaces its definition, its topics and requests stay."""

    def __init__(self, names: TopicNames, topics: TopicAdmin, answers: AnswerTopics) -> None:
        self._names = names
        self._topics = topics
        self._answers = answers
        self._definitions: dict[str, Definition] = {}
        self._routes: dict[str, Route] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._settled = False
        self._subscribed = False
        self._changed = asyncio.Event()

    def subscribed(self) -> None:
        """The scheduler has begun to say what it wants here."""
        if not self._subscribed:
            self._subscribed = True
            asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._settle)

    def _settle(self) -> None:
        self._settled = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed.clear()

    async def told_of(self, name: str) -> None:
        """Return when the pipeline is here, or is known not to be: a gateway that has just started may not know yet.

        Raises Unavailable when the scheduler does not say.
        """
        if name in self._definitions or self._settled:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                while name not in self._definitions and not self._settled:
                    await self._changed.wait()
                return
        raise Unavailable(
            f"pipeline {name} is not loaded here yet: the gateway has just started and hears nothing from the scheduler"
        )

    def definition(self, name: str) -> Definition:
        """Raises NotFound."""
        try:
            return self._definitions[name]
        except KeyError:
            raise NotFound(f"pipeline {name} is not loaded here") from None

    def needed(self, name: str) -> tuple[str, ...]:
        """The models without which it gives no answer; none for a pipeline that is not here."""
        definition = self._definitions.get(name)
        return definition.needed if definition is not None else ()

    def route(self, name: str) -> Route:
        """Raises NotFound."""
        self.definition(name)
        return self._routes[name]

    def answers(self, name: str) -> bool:
        """Whether requests to it are answered; one that was deleted meanwhile still answers those that came before."""
        definition = self._definitions.get(name)
        return definition is None or definition.outputs is not None

    async def load(self, definition: Definition) -> None:
        """Serve it from now on. Raises Unavailable, DeadlineExceeded or a KafkaError when its topics cannot be had."""
        name = definition.name
        async with self._locks[name]:
            if name not in self._routes:
                inputs, outputs = self._names.pipeline_inputs(name), self._names.pipeline_outputs(name)
                partitions = await self._topics.ensure([inputs, outputs])
                await self._answers.read({outputs: partitions[outputs]})
                route = Route(Resource(Kind.PIPELINE, name), inputs, frozenset([outputs]), partitions[inputs])
                self._routes[name] = route
            # An older version may come late, while both are there.
            held = self._definitions.get(name)
            if held is None or held.version <= definition.version:
                self._definitions[name] = definition
                self._wake()

    async def unload(self, name: str, version: int) -> bool:
        """Take no more requests and return when those in flight are answered; False when it was not there.

        A newer version that is there meanwhile, or comes while this waits, stays.
        """
        async with self._locks[name]:
            held = self._definitions.get(name)
            if held is None:
                return False
            if held.version > version:
                return True
            del self._definitions[name]
        route = self._routes[name]
        await route.idle()
        async with self._locks[name]:
            if name not in self._definitions and self._routes.get(name) is route:
                del self._routes[name]
                self._answers.forget(route.answers)
        return True
