"""All Kafka clients of a process, which start together once a broker answers and stop together."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from aiokafka.errors import KafkaConnectionError, KafkaError

from shared.backoff import Attempts
from shared.errors import SeldonError
from shared.kafka.config import KafkaConfig
from shared.kafka.offsets import GroupOffsets
from shared.kafka.reader import Reader
from shared.kafka.topics import TopicAdmin
from shared.kafka.writer import Writer
from shared.logs import logger

_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 5.0
_LOOK_SECONDS: Final = 2.0
_ANSWER_SECONDS: Final = 10.0
_log = logger("kafka")


class KafkaClients:
    """One of each; usable between `start` and `stop`. They reconnect by themselves when a broker goes away later."""

    def __init__(self, config: KafkaConfig) -> None:
        self.config = config
        self.reader = Reader(config)
        self.writer = Writer(config)
        self.offsets = GroupOffsets(config)
        self.topics = TopicAdmin(config)
        self._watching: asyncio.Task[None] | None = None

    async def start(self, waiting: Callable[[str], None], lost: Callable[[str], None] | None = None) -> None:
        """Connect, however long it takes; `waiting` is told what stands in the way, and an empty text at the end.

        From then on until `stop`, `lost` (or else `waiting`) is told when no broker answers any more, with an empty
        text when one does again: clients without work would not notice.
        """
        async for attempt in Attempts(_FIRST_DELAY, _LONGEST_DELAY):
            try:
                for start in (self.topics.start, self.offsets.start, self.writer.start, self.reader.start):
                    await start()
            except (KafkaError, SeldonError, OSError) as error:
                await self.stop()
                reason = f"kafka at {self.config.bootstrap_servers}: {_sentence(error)}"
                _log.warning("waiting for kafka", reason=reason, next_attempt_seconds=attempt.delay)
                waiting(f"{reason}; next attempt in {attempt.delay:g} s")
            except BaseException:
                await self.stop()
                raise
            else:
                _log.info("connected to kafka", servers=self.config.bootstrap_servers)
                waiting("")
                self._watching = asyncio.create_task(self._watch(lost or waiting), name="watching kafka")
                return

    async def stop(self) -> None:
        """Stop reading, flush what was sent, disconnect. Never raises because of a broker."""
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        stops: tuple[Callable[[], Awaitable[None]], ...]
        stops = (self.reader.stop, self.writer.stop, self.offsets.stop, self.topics.stop)
        for stop in stops:
            with suppress(KafkaError, OSError):
                await stop()

    async def _watch(self, tell: Callable[[str], None]) -> None:
        lost = False
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            missing = await self._missing()
            if bool(missing) != lost:
                lost = bool(missing)
                _log.warning("kafka lost", reason=missing) if lost else _log.info("kafka answers again")
                tell(missing)

    async def _missing(self) -> str:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self.topics.answers()
        except TimeoutError:
            return f"kafka at {self.config.bootstrap_servers}: no answer within {_ANSWER_SECONDS:g} s"
        except (KafkaError, OSError) as error:
            return f"kafka at {self.config.bootstrap_servers}: no broker answers ({_sentence(error)})"
        return ""


def _sentence(error: Exception) -> str:
    if isinstance(error, KafkaConnectionError):
        return "no broker answers"
    return str(error) or type(error).__name__
