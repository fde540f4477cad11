"""Rows of the status, made from what `docker inspect` says. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from compose.process.readiness import explanation, names
from compose.status import PartStatus

SERVICE: Final = "com.docker.compose.service"
"""Label of a container: the service that it is one of."""
MORE: Final = "-more"
"""End of the names of services whose containers are further replicas of another one; there may be none."""
_NUMBER: Final = "com.docker.compose.container-number"
_ONE_OFF: Final = "com.docker.compose.oneoff"


def rows(services: Sequence[str], containers: Sequence[Mapping[str, Any]], now: datetime) -> list[PartStatus]:
    """One for each container, and one for each service that should have a container and has none."""
    found = [container for container in containers if _labels(container).get(_ONE_OFF, "False") != "True"]
    made = [_row(container, now) for container in found if _labels(container)[SERVICE] in services]
    there = {_labels(container)[SERVICE] for container in found}
    absent = [name for name in services if name not in there and not name.endswith(MORE)]
    made += [PartStatus(name, "ABSENT", False, 0, 0, (), "the system to be deployed") for name in absent]
    return sorted(made, key=lambda row: row.part)


def service_of(container: Mapping[str, Any]) -> str:
    return _labels(container)[SERVICE]


def name_of(container: Mapping[str, Any]) -> str:
    """The service's name; further replicas have their number behind it, as plain processes do."""
    labels = _labels(container)
    service = labels[SERVICE]
    return f"{service.removesuffix(MORE)}-{labels[_NUMBER]}" if service.endswith(MORE) else service


def _row(container: Mapping[str, Any], now: datetime) -> PartStatus:
    state = container["State"]
    pid = int(state.get("Pid") or 0)
    missing = _missing(container)
    return PartStatus(
        part=name_of(container),
        state=str(state["Status"]).upper(),
        ready=not missing,
        uptime_seconds=_seconds_since(state["StartedAt"], now) if pid else 0,
        pid=pid,
        ports=_ports(container),
        waits_for=missing,
        missing=names(_last_check(container)) if missing else "",
    )


def _missing(container: Mapping[str, Any]) -> str:
    state = container["State"]
    if container["HostConfig"]["RestartPolicy"]["Name"] in ("", "no"):
        # Works once and ends.
        if state["Status"] == "exited":
            return "" if state["ExitCode"] == 0 else f"its next start; it ended with status {state['ExitCode']}"
        return "its end"
    if state["Status"] != "running":
        return f"its next start; it ended with status {state['ExitCode']}"
    health = state.get("Health")
    if health is None or health["Status"] == "healthy":
        return ""
    return explanation(_last_check(container), "its health check")


def _last_check(container: Mapping[str, Any]) -> bytes:
    """What it printed; nothing without one."""
    checks = (container["State"].get("Health") or {}).get("Log") or []
    output: bytes = checks[-1]["Output"].encode() if checks else b""
    return output


def _ports(container: Mapping[str, Any]) -> tuple[int, ...]:
    bindings = (container["NetworkSettings"].get("Ports") or {}).values()
    return tuple(sorted({int(binding["HostPort"]) for published in bindings if published for binding in published}))


def _seconds_since(moment: str, now: datetime) -> int:
    # Nine decimals, of which Python reads six.
    started = datetime.fromisoformat(moment.partition(".")[0].rstrip("Z")).replace(tzinfo=UTC)
    return max(0, int((now - started).total_seconds()))


def _labels(container: Mapping[str, Any]) -> Mapping[str, str]:
    labels: Mapping[str, str] = container["Config"]["Labels"]
    return labels
