"""Settings of the command, from the environment and from `.env` in the working folder; the environment wins."""

from typing import Optional

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from simplepipe.collector import MetricCollector
from simplepipe.errors import InvalidArgument
from simplepipe.gateway import Tls

_AT_HOME = "http://localhost:9091"


class Settings(BaseSettings):
    """`PUSH_GATEWAY_HOSTNAME` is where the Pushgateway is; without it this machine, unless `PROD_ENABLED` is true."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", case_sensitive=False)

    push_gateway_hostname: str = ""
    prod_enabled: bool = False
    push_gateway_username: str = ""
    push_gateway_password: SecretStr = SecretStr("")
    push_gateway_ca_file: Optional[str] = None
    push_gateway_cert_file: Optional[str] = None
    push_gateway_key_file: Optional[str] = None
    push_gateway_timeout_seconds: float = 10.0
    push_gateway_deadline_seconds: float = 10.0

    @property
    def address(self) -> str:
        """Raises InvalidArgument when a production run does not say where to push to."""
        if not self.push_gateway_hostname and self.prod_enabled:
            raise InvalidArgument("PUSH_GATEWAY_HOSTNAME", "", "with PROD_ENABLED it has to name the Pushgateway")
        return self.push_gateway_hostname or _AT_HOME


def load() -> Settings:
    """Raises InvalidArgument for a setting that cannot be understood."""
    try:
        return Settings()
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        raise InvalidArgument(str(detail["loc"][0]).upper(), detail["input"], detail["msg"]) from None


def collector_of(settings: Settings, grouping_key: dict[str, str]) -> MetricCollector:
    """Raises InvalidArgument for settings that cannot be used."""
    password = settings.push_gateway_password.get_secret_value()
    if password and not settings.push_gateway_username:
        raise InvalidArgument("PUSH_GATEWAY_USERNAME", "", "PUSH_GATEWAY_PASSWORD is of no use without it")
    tls = Tls(settings.push_gateway_ca_file, settings.push_gateway_cert_file, settings.push_gateway_key_file)
    return MetricCollector(
        settings.address,
        grouping_key=grouping_key,
        basic_auth=(settings.push_gateway_username, password) if settings.push_gateway_username else None,
        tls=tls,
        timeout=settings.push_gateway_timeout_seconds,
        deadline=settings.push_gateway_deadline_seconds,
    )
