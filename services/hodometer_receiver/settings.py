"""Settings of the receiver: the documented environment variables, or flags."""

from typing import Any

from pydantic import field_validator
from pydantic_settings import SettingsConfigDict

from services.hodometer_receiver.core.record import RecordLevel
from shared.settings import LogLevel, ServiceSettings, port, setting


class ReceiverSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    host: str = setting("0.0.0.0", "listen-host", "HODOMETER_RECEIVER_HOST")
    """Address that the port is bound to."""
    listen_port: int = port(8001, "listen-port", "LISTEN_PORT")
    """HTTP: /track, /events and the probes."""
    log_level: LogLevel = setting("info", "log-level", "LOG_LEVEL")
    """Least severe lines that are logged."""
    record_level: RecordLevel = setting(RecordLevel.SUMMARY, "record-level", "RECORD_LEVEL")
    """What is kept of events: all of them, how many there were, or nothing."""

    @field_validator("record_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value
