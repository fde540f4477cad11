"""Settings by librdkafka's names as arguments of aiokafka's clients."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from aiokafka import codec

from shared.errors import InvalidInput

_HIGHEST_INTEGER: Final = 2_147_483_647
_BOOLEANS: Final = {"true": True, "false": False}
_ACKNOWLEDGEMENTS: Final = {"all": "all", "-1": "all", "0": 0, "1": 1}
_CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")

Reading: TypeAlias = Callable[[str, object], Any]


def whole_number(setting: str, value: object, lowest: int = 0) -> int:
    """A number, or text of one, as those who write kafka.json do. Raises InvalidInput."""
    number = _decimal(value)
    if number is None or number != int(number) or not lowest <= number <= _HIGHEST_INTEGER:
        raise InvalidInput.of_field(setting, value, f"write a whole number from {lowest} to {_HIGHEST_INTEGER}")
    return int(number)


def _number(setting: str, value: object) -> float:
    number = _decimal(value)
    if number is None or not 0 <= number <= _HIGHEST_INTEGER:
        raise InvalidInput.of_field(setting, value, "write a number that is not negative")
    return number


def _decimal(value: object) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except ValueError:
        return None
    return number if number is not None and abs(number) < float("inf") else None


def _choice(options: Mapping[str, Any]) -> Reading:
    def read(setting: str, value: object) -> Any:
        text = str(value).strip().lower()
        if text not in options:
            raise InvalidInput.of_field(setting, value, f"use one of {', '.join(options)}")
        return options[text]

    return read


def _positive(setting: str, value: object) -> int:
    return whole_number(setting, value, lowest=1)


def _text(setting: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput.of_field(setting, value, "write text")
    return value


def _compression(setting: str, value: object) -> str | None:
    name: str = _choice({name: name for name in _CODECS})(setting, value)
    if name == "none":
        return None
    if not getattr(codec, f"has_{name}")():
        raise InvalidInput.of_field(setting, value, "use gzip or none, this installation has no library for it")
    return name


_MESSAGE_MAX_BYTES: Final = "message_max_bytes"
_FETCH_WAIT_MS: Final = "fetch_wait_ms"

_COMMON: Final[Mapping[str, tuple[str, Reading]]] = {
    "client.id": ("client_id", _text),
    "message.max.bytes": (_MESSAGE_MAX_BYTES, _positive),
    "request.timeout.ms": ("request_timeout_ms", _positive),
    "socket.timeout.ms": ("request_timeout_ms", _positive),
    "retry.backoff.ms": ("retry_backoff_ms", _positive),
    "metadata.max.age.ms": ("metadata_max_age_ms", _positive),
    "topic.metadata.refresh.interval.ms": ("metadata_max_age_ms", _positive),
    "connections.max.idle.ms": ("connections_max_idle_ms", _positive),
}
# Left out: what only concerns members of a consumer group and positions without a start, which nothing here has.
_CONSUMER: Final[Mapping[str, tuple[str, Reading]]] = {
    "fetch.wait.max.ms": (_FETCH_WAIT_MS, whole_number),
    "fetch.min.bytes": ("fetch_min_bytes", _positive),
    "fetch.max.bytes": ("fetch_max_bytes", _positive),
    "max.partition.fetch.bytes": ("max_partition_fetch_bytes", _positive),
    "fetch.message.max.bytes": ("max_partition_fetch_bytes", _positive),
    "check.crcs": ("check_crcs", _choice(_BOOLEANS)),
    "isolation.level": ("isolation_level", _choice({name: name for name in ("read_uncommitted", "read_committed")})),
    "client.rack": ("client_rack", _text),
}
_PRODUCER: Final[Mapping[str, tuple[str, Reading]]] = {
    "linger.ms": ("linger_ms", _number),
    "queue.buffering.max.ms": ("linger_ms", _number),
    "batch.size": ("max_batch_size", _positive),
    "compression.type": ("compression_type", _compression),
    "compression.codec": ("compression_type", _compression),
    "acks": ("acks", _choice(_ACKNOWLEDGEMENTS)),
    "request.required.acks": ("acks", _choice(_ACKNOWLEDGEMENTS)),
    "enable.idempotence": ("enable_idempotence", _choice(_BOOLEANS)),
}
# The streams section is for a library that nothing here uses; only the limit on records concerns every client.
_KNOWN: Final[Mapping[str, Mapping[str, tuple[str, Reading]]]] = {
    "consumer": {**_COMMON, **_CONSUMER},
    "producer": {**_COMMON, **_PRODUCER},
    "streams": {"message.max.bytes": _COMMON["message.max.bytes"]},
}


@dataclass(frozen=True, slots=True)
class Translation:
    """One section of kafka.json: arguments, what concerns more than one client, and what has no counterpart."""

    arguments: Mapping[str, Any] = field(default_factory=dict)
    message_max_bytes: int | None = None
    fetch_wait_ms: int | None = None
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, section: str, options: Mapping[str, Any]) -> "Translation":
        """Raises InvalidInput, naming section and setting, for a value that the setting cannot have."""
        arguments: dict[str, Any] = {}
        ignored: list[str] = []
        for name, value in options.items():
            if name not in _KNOWN[section]:
                ignored.append(f"{section}.{name}")
                continue
            argument, read = _KNOWN[section][name]
            arguments[argument] = read(f"{section}.{name}", value)
        return cls(
            message_max_bytes=arguments.pop(_MESSAGE_MAX_BYTES, None),
            fetch_wait_ms=arguments.pop(_FETCH_WAIT_MS, None),
            arguments=arguments,
            ignored=tuple(ignored),
        )
