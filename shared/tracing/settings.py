"""Where a service finds its tracing configuration."""

from pathlib import Path

from shared.settings import ServiceSettings, setting
from shared.tracing.config import TracingConfig, parse, read


class TracingSettings(ServiceSettings):
    """Base of the settings of services that trace. Without either setting, tracing is off."""

    tracing_config_path: str = setting("", "tracing-config-path", "TRACING_CONFIG_PATH")
    """File `tracing.json`."""
    tracing_config: str = setting("", "tracing-config", "TRACING_CONFIG")
    """The content of such a file, for deployments that set variables only. The file wins."""

    def tracing(self) -> TracingConfig:
        """Raises InvalidInput naming the setting that is wrong."""
        if self.tracing_config_path:
            return read(Path(self.tracing_config_path))
        return parse(self.tracing_config, "TRACING_CONFIG") if self.tracing_config else None
