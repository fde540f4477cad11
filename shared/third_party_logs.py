"""What libraries say through the standard library's logging, as lines of our form."""

import logging
import time
from typing import Final

import structlog

LIBRARIES: Final = {
    "aiohttp": (logging.WARNING, logging.INFO),
    "aiokafka": (logging.INFO, logging.INFO),
    "asyncio": (logging.WARNING, logging.INFO),
    "grpc": (logging.WARNING, logging.INFO),
    "httpcore": (logging.WARNING, logging.INFO),
    "httpx": (logging.WARNING, logging.INFO),
    "opentelemetry": (logging.WARNING, logging.INFO),
    "uvicorn": (logging.WARNING, logging.INFO),
}
"""Library to its usual and its lowest level: what they write below info holds whole requests and records."""
_QUIET_SECONDS: Final = 10.0
_MOST_KINDS: Final = 1_000


class LibraryLines(logging.Handler):
    """Writes records as lines of the component that is the library's name.

    Libraries report a lost peer at every attempt. So a line of the same logger, level and wording is written once in
    ten seconds, with `left_out` counting those in between.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines = structlog.get_logger()
        self._written: dict[tuple[str, int, str], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        left_out = self._left_out(record)
        if left_out is None:
            return
        fields = {"left_out": left_out} if left_out else {}
        try:
            self._lines.log(
                _standard(record.levelno),
                record.getMessage(),
                component=record.name.partition(".")[0],
                source=record.name,
                exc_info=record.exc_info,
                **fields,
            )
        except Exception:
            self.handleError(record)

    def _left_out(self, record: logging.LogRecord) -> int | None:
        """None: this one is left out, too."""
        kind = record.name, record.levelno, str(record.msg)
        now = time.monotonic()
        last, left_out = self._written.get(kind, (now - _QUIET_SECONDS, 0))
        if now - last < _QUIET_SECONDS:
            self._written[kind] = last, left_out + 1
            return None
        if len(self._written) >= _MOST_KINDS:
            self._written.clear()
        self._written[kind] = now, 0
        return left_out


def _standard(number: int) -> int:
    """Libraries may have levels in between."""
    return max(logging.DEBUG, min(logging.CRITICAL, number // 10 * 10))
