"""A history of pipelines as text that a person can read: one line per event and per instruction."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from textwrap import dedent

from services.scheduler.core.decisions import Core
from services.scheduler.core.effects import Effect, PublishRoutes, Tell
from services.scheduler.core.members.fleet import Fleet, Kind, Member
from services.scheduler.core.members.rounds import Answer, Operation
from services.scheduler.core.models.control import Control
from services.scheduler.core.models.gateways import ModelGateways
from services.scheduler.core.pipelines.control import PipelineControl
from services.scheduler.core.pipelines.state import Pipeline, Pipelines
from services.scheduler.core.pipelines.status import engine_status, gateway_status
from services.scheduler.core.routing import PipelinePlan
from services.scheduler.core.state import Address, State
from services.scheduler.store.pipelines import read_pipelines, write_pipeline
from services.scheduler.store.schema import migrate
from shared.kafka.names import GroupNames
from tests.scheduler.builders import model, pipeline

KINDS = {"flow": Kind.ENGINE, "mgw": Kind.MODEL_GATEWAY, "pgw": Kind.PIPELINE_GATEWAY}


class PipelineTrace:
    """Members are named `flow-0`, `mgw-0`, `pgw-0`; versions are written `<pipeline>_<version>`."""

    def __init__(
        self,
        owners_per_key: int = 1,
        pipelines: dict[str, Pipeline] | None = None,
        known: dict[Kind, set[str]] | None = None,
    ) -> None:
        fleets = {
            kind: Fleet(
                kind,
                exclusive=kind is not Kind.PIPELINE_GATEWAY,
                known=(known or {}).get(kind, ()),
                owners_per_key=owners_per_key,
            )
            for kind in Kind
        }
        state, groups = State(), GroupNames()
        gateways = ModelGateways(state, fleets[Kind.MODEL_GATEWAY], groups, 100)
        made = Pipelines(fleets[Kind.ENGINE], fleets[Kind.PIPELINE_GATEWAY], groups, 100, pipelines or {})
        self.core = Core(Control(state), gateways, PipelineControl(made))
        self.now = 1_000_000.0
        self.told: list[Tell] = []
        """Every instruction so far."""
        self._lines: list[str] = []
        self._shown: dict[str, str] = {}
        self._loads = 0
        self._event("start", self.core.start(self.now, 10.0))

    @property
    def text(self) -> str:
        """Everything since the last time this was read."""
        lines, self._lines = self._lines, []
        return "\n".join(lines)

    def join(self, *names: str) -> None:
        for name in names:
            number = int(name.rpartition("-")[2])
            address = Address("10.0.0.1", 9000 + number, 9100 + number) if name.startswith("pgw") else None
            member = Member(name, number, address)
            self._event(f"{name} joins", self.core.member_joined(_kind(name), member, self.now))

    def leave(self, name: str) -> None:
        session = self.core.fleet(_kind(name)).members[name].session
        self._event(f"{name} leaves", self.core.member_left(_kind(name), name, session, self.now))

    def load(self, name: str, *steps: str, clean: bool = False) -> None:
        self._loads += 1
        submitted = pipeline(name, *(steps or ("iris",)), clean=clean)
        self._event(f"load {name}", self.core.pipelines.load(submitted, f"uid{self._loads}", self.now))

    def unload(self, name: str) -> None:
        self._event(f"unload {name}", self.core.pipelines.unload(name, self.now))

    def load_model(self, name: str, uri: str = "a") -> None:
        self._event(f"load model {name} {uri}", self.core.models.load_model(model(name, uri), self.now))

    def unload_model(self, name: str) -> None:
        self._event(f"unload model {name}", self.core.models.unload_model(name, self.now))

    def answer(self, name: str, about: str, failure: str = "") -> None:
        """The member answers the last instruction about `about`: `<resource>` or `<pipeline>_<version>`."""
        tell = next(tell for tell in reversed(self.told) if tell.instruction.member == name and about in _names(tell))
        told = tell.instruction
        uid, version = (tell.pipeline.uid, tell.pipeline.version) if tell.pipeline else ("", told.deployment.version)
        answer = Answer(name, tell.resource, version, told.timestamp, told.operation, not failure, failure, uid)
        said = f"failed: {failure}" if failure else "did it"
        self._event(f"{name} {about}: {said}", self.core.answered(tell.kind, answer, self.now))

    def ack(self, name: str) -> None:
        known = self.core.pipelines.pipelines.by_name[name]
        self._event(f"Envoy takes {name}", self.core.routed(known.scope, known.revision, "", self.now))

    def nack(self, name: str, error: str) -> None:
        known = self.core.pipelines.pipelines.by_name[name]
        self._event(f"Envoy refuses {name}", self.core.routed(known.scope, known.revision, error, self.now))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._event(f"{seconds:g} s pass", self.core.tick(self.now))

    def restart(self) -> "PipelineTrace":
        """The scheduler as it comes back from what it stored."""
        disk = sqlite3.connect(":memory:", isolation_level=None)
        migrate(disk, Path("memory"))
        for name, known in self.core.pipelines.pipelines.by_name.items():
            write_pipeline(name, known)(disk)
        again = PipelineTrace(
            pipelines=read_pipelines(disk), known={kind: set(self.core.fleet(kind).members) for kind in Kind}
        )
        disk.close()
        return again

    def _event(self, text: str, effects: Iterable[Effect]) -> None:
        self._lines.append(text)
        for effect in self.core.follow(effects, self.now):
            if isinstance(effect, Tell):
                self.told.append(effect)
                self._lines.append(f"  tell {_describe(effect)}")
            elif isinstance(effect, PublishRoutes) and isinstance(effect.plan, PipelinePlan):
                names = ", ".join(f"pgw-{port - 9000}" for _, port, _ in effect.plan.gateways) or "nobody"
                self._lines.append(f"  tell Envoy {effect.scope} -> {names}")
        pipelines = self.core.pipelines.pipelines
        for name, known in sorted(pipelines.by_name.items()):
            engine = engine_status(pipelines, known, known.latest)
            gateway = gateway_status(pipelines, known, known.latest)
            shown = f"{name}_{known.latest.number}: {_short(*engine)} / {_short(*gateway)}"
            if self._shown.get(name) != shown:
                self._shown[name] = shown
                self._lines.append(f"  {shown}")


def _short(state: str, reason: str) -> str:
    return state.removeprefix("Pipeline") + (f" ({reason})" if reason else "")


def _describe(tell: Tell) -> str:
    told = tell.instruction
    verb = "to start" if told.operation is Operation.CREATE else "to stop"
    shared = f" with {'+'.join(told.owners)}" if len(told.owners) > 1 else ""
    topics = " and remove its topics" if told.with_topics else ""
    return f"{told.member} {verb} {_names(tell)[-1]}{shared}{topics}"


def _names(tell: Tell) -> tuple[str, ...]:
    version = tell.pipeline.version if tell.pipeline else tell.instruction.deployment.version
    return tell.resource, f"{tell.resource}_{version}"


def _kind(name: str) -> Kind:
    return KINDS[name.partition("-")[0]]


def expect(trace: PipelineTrace, text: str) -> None:
    assert trace.text == dedent(text).strip()


def served(owners_per_key: int = 1) -> PipelineTrace:
    """`alpha_1` is ready on flow-0, pgw-0 and Envoy."""
    trace = PipelineTrace(owners_per_key)
    trace.join("flow-0", "pgw-0")
    trace.load("alpha")
    trace.answer("flow-0", "alpha_1")
    trace.answer("pgw-0", "alpha")
    trace.ack("alpha")
    assert "alpha_1: Ready (1/1 ready) / Ready (1/1 ready)" in trace.text
    return trace
