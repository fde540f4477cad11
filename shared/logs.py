"""Structured logs: one line per event on stderr, JSON unless a person is watching."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from shared.log_levels import Levels
from shared.third_party_logs import LIBRARIES, LibraryLines

LEVELS: Final = Levels()
"""Of this process; a change has its effect with the next line."""
_FIRST: Final = ("timestamp", "level", "service", "component", "event")
_loggers: Final[dict[str, "Logger"]] = {}


class Logger:
    """Writes the lines of one component: what happened, and fields that say to what.

    Fields never hold payloads or secrets. A line that is not wanted costs no more than finding that out.
    """

    __slots__ = ("_lines", "_threshold")

    def __init__(self, component: str) -> None:
        self._threshold = logging.NOTSET
        self._lines = structlog.get_logger(component=component)
        LEVELS.add(component, self._pass_from)

    def debug(self, event: str, **fields: Any) -> None:
        if self._threshold <= logging.DEBUG:
            self._lines.debug(event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        if self._threshold <= logging.INFO:
            self._lines.info(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if self._threshold <= logging.WARNING:
            self._lines.warning(event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        if self._threshold <= logging.ERROR:
            self._lines.error(event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error with its traceback: that of `exc_info`, else of the exception being handled."""
        if self._threshold <= logging.ERROR:
            self._lines.exception(event, **fields)

    def critical(self, event: str, **fields: Any) -> None:
        self._lines.critical(event, **fields)

    def _pass_from(self, number: int) -> None:
        self._threshold = number


def logger(component: str) -> Logger:
    """The logger whose lines carry `component`."""
    if component not in _loggers:
        _loggers[component] = Logger(component)
    return _loggers[component]


def configure(service: str, level: str, kafka_level: str = "") -> None:
    """Set up logging for a process. Levels are standard names in lower case; `service` is on every line.

    Without `kafka_level` the Kafka client follows the process's level.
    """
    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _Ordered(service),
            structlog.dev.ConsoleRenderer() if person else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryLines()], force=True)
    logging.captureWarnings(True)
    for library, (usual, lowest) in LIBRARIES.items():
        LEVELS.add(library, logging.getLogger(library).setLevel, usual, lowest)
    LEVELS.start(level, **{"aiokafka": kafka_level} if kafka_level else {})


class _Ordered:
    """What every line has comes first, so that people find it."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["service"] = self._service
        first = {name: event.pop(name) for name in _FIRST if name in event}
        return {**first, **event}
