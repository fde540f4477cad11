"""Settings of the receiver: the documented environment variables, or flags."""

from typing import Any

from pydantic import AliasChoices, Field, field_validator
from pydantic_settings import SettingsConfigDict

from services.hodometer_receiver.record import RecordLevel
from shared.settings import ServiceSettings


class ReceiverSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    host: str = Field("0.0.0.0", validation_alias=AliasChoices("listen-host", "HODOMETER_RECEIVER_HOST"))
    """Address that the port is bound to."""
    listen_port: int = Field(8001, ge=1, le=65_535, validation_alias=AliasChoices("listen-port", "LISTEN_PORT"))
    log_level: str = Field("info", validation_alias=AliasChoices("log-level", "LOG_LEVEL"))
    record_level: RecordLevel = Field(
        RecordLevel.SUMMARY, validation_alias=AliasChoices("record-level", "RECORD_LEVEL")
    )

    @field_validator("record_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        # The names that other parts of such a deployment use, in terms of the standard ones.
        level = {"panic": "critical", "fatal": "critical", "warn": "warning", "trace": "debug"}.get(
            value.lower(), value.lower()
        )
        if level not in ("critical", "error", "warning", "info", "debug"):
            raise ValueError("use one of panic, fatal, error, warn, info, debug, trace")
        return level
