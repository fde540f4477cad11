"""Prometheus as a part: it watches the others, and none of them needs it."""

from pathlib import Path
from typing import Final

from compose.process import flow_parts, pushgateways
from compose.process.common import digest, url
from compose.process.home import Home
from compose.process.program import Program
from compose.process.settings import Settings
from compose.prometheus.install import find
from compose.prometheus.rendering import PUSHGATEWAYS, RULES, TEMPLATE, on_one_host

PART: Final = "prometheus"
_RETENTION: Final = ("--storage.tsdb.retention.time=7d", "--storage.tsdb.retention.size=1GB")


def program(settings: Settings, home: Home) -> Program | None:
    """None without the profile `monitoring`, and on a machine without Prometheus."""
    found = find(PART, home) if settings.has("monitoring") else None
    if found is None:
        return None
    port = settings.port("PROMETHEUS_PORT")
    bound = f"[{settings.bind_host}]" if ":" in settings.bind_host else settings.bind_host
    return Program(
        name=PART,
        command=(
            found,
            f"--config.file={config_file(home)}",
            f"--storage.tsdb.path={home.data / PART}",
            *_RETENTION,
            f"--web.listen-address={bound}:{port}",
        ),
        directory=home.root,
        ready_url=url(settings, port, "/-/ready"),
        ports=(port,),
        environment={"SELDON_CONFIGURATION": digest(config_file(home), RULES)},
    )


def config_file(home: Home) -> Path:
    return home.run / "prometheus.yml"


def config(settings: Settings, home: Home) -> str:
    """The content of prometheus.yml. Raises InvalidInput for a setting that is missing."""
    template = TEMPLATE.read_text() + (PUSHGATEWAYS.read_text() if pushgateways.programs(settings, home) else "")
    # A target that is not there would count as one that is down.
    without = () if settings.has("v1") else ("v1-executor",)
    return on_one_host(template, settings.values, settings.host, RULES, flow_parts.PORT_STEP, without)
