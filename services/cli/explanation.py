"""Where a model runs, or why it does not: the scheduler's answer and how it reads."""

from collections.abc import Iterator
from datetime import datetime

from pydantic import BaseModel, Field
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text


class Wait(BaseModel):
    """Who has to act next, why, and when that is looked at again."""

    owner: str
    reason: str
    due: datetime | None = None

    def __str__(self) -> str:
        until = f", by {self.due.isoformat(timespec='seconds')}" if self.due is not None else ""
        return f"{self.owner}: {self.reason}{until}"


class ReplicaState(BaseModel):
    replica: int
    state: str
    reason: str = ""
    since: str = ""
    waits: Wait | None = None


class UnwantedCopy(BaseModel):
    version: int
    server: str
    replica: int
    reason: str = ""
    waits: Wait


class Version(BaseModel):
    version: int
    state: str
    server: str | None = None
    replicas: list[ReplicaState] = Field(default_factory=list)


class ReplicaVerdict(BaseModel):
    replica: int
    accepted: bool
    reason: str = ""


class ServerVerdict(BaseModel):
    server: str
    accepted: bool
    reason: str = ""
    replicas: list[ReplicaVerdict] = Field(default_factory=list)


class Route(BaseModel):
    name: str
    acked: bool
    error: str | None = None
    waits: Wait | None = None


class Explanation(BaseModel):
    model: str
    version: int
    state: str
    reason: str = ""
    next_retry: datetime | None = None
    summary: str
    routed_version: int | None = None
    route: Route | None = None
    versions: list[Version] = Field(default_factory=list)
    unwanted: list[UnwantedCopy] = Field(default_factory=list)
    servers: list[ServerVerdict] = Field(default_factory=list)


def in_words(explanation: Explanation) -> list[str]:
    """The story in sentences: what is so, why, what answers requests, what comes next."""
    lines = [f"{explanation.model} version {explanation.version}: {explanation.state}", explanation.summary]
    if explanation.reason and explanation.reason not in explanation.summary:
        lines.append(f"Reason: {explanation.reason}")
    lines.append(_routing(explanation))
    if explanation.next_retry is not None:
        lines.append(f"Next attempt: {explanation.next_retry.isoformat(timespec='seconds')}")
    return [*lines, *_waiting(explanation)]


def _waiting(explanation: Explanation) -> Iterator[str]:
    for version in explanation.versions:
        for each in version.replicas:
            if each.waits is not None:
                yield f"Version {version.version} on {version.server}/{each.replica} waits for {each.waits}"
    for copy in explanation.unwanted:
        place = f"{copy.server}/{copy.replica}"
        yield f"Version {copy.version} on {place} is not wanted there ({copy.reason}) and waits for {copy.waits}"
    if explanation.route is not None and explanation.route.waits is not None:
        yield f"The route {explanation.route.name} waits for {explanation.route.waits}"


def _routing(explanation: Explanation) -> str:
    route = explanation.route
    if route is not None and route.error:
        return f"Envoy refused the route {route.name}: {route.error}"
    if explanation.routed_version is None:
        return "No version answers requests."
    waiting = "" if route is None or route.acked else ", once Envoy has confirmed the route"
    return f"Version {explanation.routed_version} answers requests{waiting}."


def render(explanation: Explanation) -> RenderableType:
    """The words, then where every version is, then what each server says about the newest."""
    parts: list[RenderableType] = [Text(line) for line in in_words(explanation)]
    if explanation.versions:
        parts.append(_versions_table(explanation.versions))
    if explanation.servers:
        parts.append(_servers_table(explanation.servers))
    return Group(*parts)


def _versions_table(versions: list[Version]) -> Table:
    table = Table(title="Versions", title_justify="left")
    for name in ("version", "state", "server", "replica", "replica state", "reason", "since"):
        table.add_column(name, overflow="fold")
    for version in versions:
        start = (str(version.version), version.state, version.server or "-")
        if not version.replicas:
            table.add_row(*map(Text, (*start, "-", "-", "", "")))
        for each in version.replicas:
            table.add_row(*map(Text, (*start, str(each.replica), each.state, each.reason, each.since)))
    return table


def _servers_table(servers: list[ServerVerdict]) -> Table:
    table = Table(title="Servers", title_justify="left")
    for name in ("server", "replica", "fits", "reason"):
        table.add_column(name, overflow="fold")
    for server in servers:
        table.add_row(Text(server.server), "all", _verdict(server.accepted), Text(server.reason))
        for each in server.replicas:
            table.add_row("", str(each.replica), _verdict(each.accepted), Text(each.reason))
    return table


def _verdict(accepted: bool) -> Text:
    return Text("yes", style="green") if accepted else Text("no", style="red")
