"""A flow, topics in memory, and models that compute: what a request meets on its way, without a broker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.dataflow.core.flow import Arrival, Emission, Flow, Outcome, Place
from services.dataflow.core.topology import Topology
from shared.kafka.headers import BATCH, DEADLINE, ERROR, ERROR_CODE
from tests.dataflow.core.builders import NAMES, partitions, read_request, read_response, request, response

Tensors = dict[str, Any]
Model = Callable[[Tensors], Tensors]
START = 1_000_000


class ModelError(Exception):
    """What a model answers instead of tensors."""


@dataclass
class World:
    """Models answer when `answer` or `run` is called; everything is written down in `log`, newest last."""

    shape: Topology
    models: Mapping[str, Model] = field(default_factory=dict)
    join_window_ms: int = 60_000
    raw: bool = False
    now: int = START
    flow: Flow = field(init=False)
    log: list[Emission] = field(default_factory=list)
    read: list[Place] = field(default_factory=list)
    finished: list[Place] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    asked: list[Emission] = field(default_factory=list)
    """Records on model inputs that no model has answered."""
    offsets: dict[str, int] = field(default_factory=dict)
    loop_back: bool = True
    """Read what the flow itself writes to the pipeline's input."""

    def __post_init__(self) -> None:
        self.flow = Flow(self.shape, partitions(self.shape), self.join_window_ms)

    def put(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Outcome:
        offset = self.offsets.get(topic, 0)
        self.offsets[topic] = offset + 1
        stamped = list(headers)
        if not any(name == "pipeline" for name, _ in stamped):
            stamped += [("pipeline", self.shape.pipeline.encode()), ("x-pipeline-version", b"1")]
        self.read.append(Place(topic, 0, offset))
        return self._take(self.flow.receive([Arrival(topic, 0, offset, key, value, stamped)], self.now))

    def send(
        self,
        content: Tensors,
        key: str = "0.p.a",
        deadline: int | None = None,
        headers: Sequence[Any] = (),
        id: str = "",
    ) -> "World":
        """A caller's request."""
        sent = [("pipeline", self.shape.pipeline.encode()), ("x-request-id", key.encode()), *headers]
        if deadline is not None:
            sent.append((DEADLINE, str(self.now + deadline).encode()))
        self.put(self.shape.input_topic, key.encode(), request(content, raw=self.raw, id=id), sent)
        return self

    def answer(self, step: str | None = None) -> bool:
        """Let a model answer the oldest record for it, or for any; whether there was one."""
        for index, record in enumerate(self.asked):
            name = NAMES.split(record.topic)
            assert name is not None
            if step is None or name[1] == step:
                del self.asked[index]
                self._call(name[1], record)
                return True
        return False

    def run(self) -> "World":
        while self.answer():
            pass
        return self

    def pass_time(self, milliseconds: int) -> "World":
        """Stop at every moment at which the flow wants to do something."""
        end = self.now + milliseconds
        while (due := self.flow.due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._take(self.flow.tick(self.now))
        self.now = end
        return self

    def on(self, topic: str) -> list[Emission]:
        return [record for record in self.log if record.topic == topic]

    def inputs_of(self, step: str) -> list[list[tuple[str, Any]]]:
        return [read_request(record.value) for record in self.on(NAMES.model_inputs(step))]

    def answers(self) -> dict[str, Any]:
        """By key: tensors, or the sentence that a caller reads. Fails when somebody got two answers."""
        found: dict[str, Any] = {}
        for record in self.on(self.shape.output_topic):
            key = record.key.decode()
            assert key not in found, f"two answers for {key}"
            headers = dict(record.headers)
            if ERROR in headers:
                code = f" [{headers[ERROR_CODE].decode()}]" if ERROR_CODE in headers else ""
                found[key] = f"{headers[ERROR].decode()} : {record.value.decode()}{code}"
            else:
                found[key] = read_response(record.value)
        return found

    @property
    def answered(self) -> Any:
        """The answer to the only request."""
        (answer,) = self.answers().values()
        return answer

    def check_done(self) -> None:
        """Nothing is left open, and each record was finished once."""
        assert self.flow.in_flight == 0
        assert sorted(self.finished) == sorted(self.read)

    def _take(self, outcome: Outcome) -> Outcome:
        self.log += outcome.emissions
        self.finished += outcome.finished
        self.problems += [problem.kind for problem in outcome.problems]
        for record in outcome.emissions:
            if record.topic == self.shape.input_topic and self.loop_back:
                self.put(record.topic, record.key, record.value, record.headers)
            elif record.topic.endswith(".inputs") and record.topic != self.shape.input_topic:
                self.asked.append(record)
        return outcome

    def _call(self, step: str, record: Emission) -> None:
        route = ("x-seldon-route", f":{step}_1:".encode())
        try:
            answer = self.models[step](dict(read_request(record.value)))
        except ModelError as error:
            self.put(NAMES.errors, record.key, str(error).encode(), [*record.headers, (ERROR, step.encode())])
        else:
            value = response(answer, raw=self.raw, model_name=f"{step}_1", model_version="1")
            self.put(NAMES.model_outputs(step), record.key, value, [*record.headers, route])


def members(record: Emission) -> str | None:
    """Who is in a batch."""
    return dict(record.headers).get(BATCH, b"").decode() or None
