"""A history of the scheduler's steps as text that a person can read: one line per event and per effect."""

from collections.abc import Iterable
from textwrap import dedent

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.effects import BecameReady, Effect, PublishRoutes, SendLoad, SendUnload
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.inventory import Announced
from services.scheduler.core.models.lifecycle import version_status
from services.scheduler.core.models.placement import NO_REPLICAS, NO_SERVER
from services.scheduler.core.routing import RoutePlan
from services.scheduler.core.state import ReplicaKey, Server, State, VersionKey
from shared.names import internal_name, split_internal_name
from tests.scheduler.builders import model, replica
from tests.scheduler.world import restored


class Trace:
    """Each method is an event; `text` has the events and, indented, what the scheduler did about them.

    Replicas are written `server/index`, versions by their internal name.
    """

    def __init__(self, state: State | None = None, awaited: set[ReplicaKey] | None = None) -> None:
        self.control = Control(state or State(), awaited or set())
        self.now = 0.0
        self._lines: list[str] = []
        self._sessions: dict[ReplicaKey, int] = {}
        self._definitions: dict[str, pb.Model] = {}
        self._shown: dict[str, str] = {}

    @property
    def text(self) -> str:
        """Everything since the last time this was read."""
        lines, self._lines = self._lines, []
        return "\n".join(lines)

    # -- events --------------------------------------------------------------------------------------------------

    def start(self, settle: float = 10.0) -> None:
        self._event("start", self.control.start(self.now, settle))

    def load(self, name: str, uri: str = "a", replicas: int = 1, memory: int = 100, server: str | None = None) -> None:
        submitted = model(name, uri, replicas=replicas, memory=memory, server=server)
        self._event(f"load {name} {uri} x{replicas}", self.control.load_model(submitted, self.now))

    def unload(self, name: str) -> None:
        self._event(f"unload {name}", self.control.unload_model(name, self.now))

    def agent(self, place: str, *held: str, memory: int = 1000) -> None:
        """An agent registers and lists what it holds: what it was once told to load."""
        key = _place(place)
        self._sessions[key] = self._sessions.get(key, 0) + 1
        announced = [Announced(_version(name), self._definitions[name]) for name in held]
        used = sum(entry.definition.modelSpec.memoryBytes for entry in announced)
        offered = replica(self._sessions[key], total=memory, available=memory - used, index=key.replica)
        effects = self.control.agent_connected(key, offered, True, announced, self.now)
        self._event(f"agent {place} holds {', '.join(held) or 'nothing'}", effects)

    def agent_lost(self, place: str) -> None:
        key = _place(place)
        self._event(f"agent {place} lost", self.control.agent_gone(key, self._sessions[key], self.now))

    def drain(self, place: str) -> None:
        self._event(f"drain {place}", self.control.drain_replica(_place(place), self.now))

    def server(self, name: str, expected: int) -> None:
        wanted = Server(name, expected=expected)
        self._event(f"server {name} expects {expected}", self.control.notify_server(wanted, self.now))

    def loaded(self, place: str, name: str, free: int = 900) -> None:
        effects = self.control.loaded(_place(place), _version(name), free, None, self.now)
        self._event(f"{place} loaded {name}", effects)

    def failed(self, place: str, name: str, reason: str, free: int = 900) -> None:
        effects = self.control.load_failed(_place(place), _version(name), free, reason, self.now)
        self._event(f"{place} failed to load {name}", effects)

    def unloaded(self, place: str, name: str, free: int = 1000) -> None:
        effects = self.control.unloaded(_place(place), _version(name), free, self.now)
        self._event(f"{place} unloaded {name}", effects)

    def ack(self, name: str) -> None:
        revision = self.control.state.models[name].revision
        self._event(f"Envoy takes {name}", self.control.routes_acked(name, revision, self.now))

    def nack(self, name: str, reason: str) -> None:
        revision = self.control.state.models[name].revision
        self._event(f"Envoy refuses {name}", self.control.routes_rejected(name, revision, reason, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._event(f"{seconds:g} s pass", self.control.tick(self.now))

    def restart(self) -> "Trace":
        """The scheduler as it comes back from what it stored."""
        again = Trace(*restored(self.control.state))
        again.now, again._definitions, again._shown = self.now, self._definitions, dict(self._shown)
        return again

    # -- text ----------------------------------------------------------------------------------------------------

    def _event(self, text: str, effects: Iterable[Effect]) -> None:
        self._lines.append(text)
        for effect in effects:
            match effect:
                case SendLoad(to, version):
                    known = self.control.state.version(version)
                    if known is not None:
                        self._definitions[internal_name(*version)] = known.definition
                    self._lines.append(f"  tell {to.server}/{to.replica} to load {internal_name(*version)}")
                case SendUnload(to, version):
                    self._lines.append(f"  tell {to.server}/{to.replica} to unload {internal_name(*version)}")
                case PublishRoutes(name, plan, _) if isinstance(plan, RoutePlan):
                    self._lines.append(f"  tell Envoy {name} -> {_describe(name, plan)}")
                case BecameReady():
                    self._lines.append("  ready")
                case _:
                    pass
        for name, known_model in sorted(self.control.state.models.items()):
            status = version_status(known_model, known_model.latest)
            shown = f"{internal_name(name, known_model.latest.number)} is {status.state.value}"
            reason = status.reason.replace(NO_SERVER, "no server").replace(NO_REPLICAS, "no replicas")
            reason = reason.replace(" wanted replicas are suitable", " suit")
            shown += f" ({reason})" if reason else ""
            if self._shown.get(name) != shown:
                self._shown[name] = shown
                self._lines.append(f"  {shown}")


def _describe(name: str, plan: RoutePlan) -> str:
    """The routed version first, then the others that are kept reachable."""
    parts = []
    for upstream in plan.upstreams:
        places = "+".join(f"{upstream.server}/{endpoint.replica}" for endpoint in upstream.endpoints)
        kept = "" if upstream.version == plan.routed else "kept: "
        parts.append((upstream.version != plan.routed, f"{kept}{internal_name(name, upstream.version)} at {places}"))
    return ", ".join(text for _, text in sorted(parts)) or "nothing"


def _place(text: str) -> ReplicaKey:
    server, _, index = text.partition("/")
    return ReplicaKey(server, int(index))


def _version(text: str) -> VersionKey:
    split = split_internal_name(text)
    assert split is not None, text
    return VersionKey(*split)


def expect(trace: Trace, text: str) -> None:
    assert trace.text == dedent(text).strip()


def fresh() -> Trace:
    trace = Trace()
    trace.start()
    expect(trace, "start\n  ready")
    return trace


def served() -> Trace:
    """`iris_1` is available on ml/0."""
    trace = fresh()
    trace.agent("ml/0")
    trace.load("iris")
    trace.loaded("ml/0", "iris_1")
    trace.ack("iris")
    assert "iris_1 is ModelAvailable" in trace.text
    return trace
