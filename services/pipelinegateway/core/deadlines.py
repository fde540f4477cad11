"""How long a caller waits for its answer."""

from typing import Final

from shared.errors import InvalidInput

HEADER_TIMEOUT: Final = "x-seldon-timeout-ms"
_MOST_DIGITS: Final = 12
_ON_THE_WAY_SECONDS: Final = 0.02
_ON_THE_WAY_SHARE: Final = 0.05


def timeout_seconds(setting_ms: int, header: str | None, caller_seconds: float | None = None) -> float:
    """The least of the setting, the caller's header and the time that its own deadline leaves.

    Raises InvalidInput when the header is no positive number of milliseconds.
    """
    limit = setting_ms / 1000
    if header is not None:
        text = header.strip()
        if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS and int(text) > 0):
            raise InvalidInput.of_field(HEADER_TIMEOUT, header, "use a whole number of milliseconds above 0")
        limit = min(limit, int(text) / 1000)
    if caller_seconds is not None:
        # Whoever set it gives up at that moment, so what is to be read must have arrived by then.
        on_the_way = min(_ON_THE_WAY_SECONDS, caller_seconds * _ON_THE_WAY_SHARE)
        limit = min(limit, max(0.0, caller_seconds - on_the_way))
    return limit
