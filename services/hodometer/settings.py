"""Settings of the collector: the documented environment variables, all problems told at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from services.hodometer.core.build import COMMIT_VARIABLE
from services.hodometer.core.fields import Level
from services.hodometer.core.tls_settings import Tls, tls_settings
from services.hodometer.core.variables import InvalidSettings, Problem, Variables
from shared.errors import InvalidInput
from shared.log_levels import KNOWN, standard_level

STDOUT: Final = "stdout:"
"""Instead of a URL: print events."""
_EIGHT_HOURS: Final = 8 * 60 * 60
_LONGEST_INTERVAL: Final = 365 * 24 * 60 * 60
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class HodometerSettings:
    scheduler_host: str
    plaintext_port: int
    tls_port: int
    tls: Tls | None
    """None: the connection to the scheduler is not encrypted."""
    level: Level
    log_level: str
    cluster_id: UUID | None
    """None: a random one."""
    git_commit: str
    destinations: tuple[str, ...]
    """URLs of receivers, or `stdout:`; each once. Empty: nothing is published."""
    interval_seconds: int

    @property
    def scheduler_target(self) -> str:
        host = f"[{self.scheduler_host}]" if ":" in self.scheduler_host else self.scheduler_host
        return f"{host}:{self.plaintext_port if self.tls is None else self.tls_port}"


def settings_of(environment: Mapping[str, str]) -> HodometerSettings:
    """Raises InvalidSettings with every bad or missing variable. A variable that is blank counts as not set."""
    variables = Variables(environment)
    made = HodometerSettings(
        scheduler_host=variables.text("SCHEDULER_HOST", "seldon-scheduler"),
        plaintext_port=_plaintext_port(variables),
        tls_port=_port(variables, "SCHEDULER_TLS_PORT", "9044"),
        tls=tls_settings(variables),
        level=_level(variables),
        log_level=_log_level(variables),
        cluster_id=_cluster_id(variables.text("CLUSTER_ID")),
        git_commit=variables.text(COMMIT_VARIABLE),
        destinations=_destinations(variables),
        interval_seconds=variables.whole_number(
            "PUBLISH_INTERVAL_SECONDS", _EIGHT_HOURS, range(1, _LONGEST_INTERVAL + 1)
        ),
    )
    if variables.problems:
        raise InvalidSettings(variables.problems)
    return made


def _plaintext_port(variables: Variables) -> int:
    name, older = "SCHEDULER_PLAINTXT_PORT", "SCHEDULER_PORT"
    # Kubernetes puts a URL into such a variable for a service of that name.
    usable = variables.text(older) and "://" not in variables.text(older)
    return _port(variables, older if usable and not variables.text(name) else name, "9004")


def _port(variables: Variables, name: str, usual: str) -> int:
    if not variables.text(name):
        variables.problems.append(Problem(name, "value not set", f"set it to the scheduler's port, usually {usual}"))
        return 0
    return variables.whole_number(name, 0, range(1, _HIGHEST_PORT + 1))


def _level(variables: Variables) -> Level:
    text = variables.text("METRICS_LEVEL", Level.FEATURE.name)
    try:
        return Level[text.upper()]
    except KeyError:
        known = ", ".join(level.name.lower() for level in Level)
        variables.problems.append(Problem("METRICS_LEVEL", f"level {text} not recognised", f"use one of {known}"))
        return Level.CLUSTER


def _log_level(variables: Variables) -> str:
    text = variables.text("LOG_LEVEL", "info")
    try:
        return standard_level("LOG_LEVEL", text)
    except InvalidInput:
        variables.problems.append(Problem("LOG_LEVEL", f"log level {text} not recognised", f"use one of {KNOWN}"))
        return "info"


def _cluster_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _destinations(variables: Variables) -> tuple[str, ...]:
    written = [("PUBLISH_URL", variables.text("PUBLISH_URL"))]
    written += [("EXTRA_PUBLISH_URLS", url.strip()) for url in variables.text("EXTRA_PUBLISH_URLS").split(",")]
    given = [(name, url) for name, url in written if url]
    for name, url in given:
        if url != STDOUT and not _is_receiver(url):
            fix = f"write http://HOST[:PORT] or https://HOST[:PORT], or {STDOUT} to print events"
            variables.problems.append(Problem(name, f"{url!r} is no URL of a receiver", fix))
    # The same receiver twice would count this deployment twice.
    return tuple(dict.fromkeys(url for _, url in given))


def _is_receiver(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # Reading the port is what checks it.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
