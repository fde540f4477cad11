"""Random pipelines and random orders of events, compared with a brute-force definition of what must happen."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from services.dataflow.core.flow import Arrival, Emission, Flow, Outcome, Place
from services.dataflow.core.topology import Topology
from shared.kafka.headers import ERROR
from tests.dataflow.core.builders import NAMES, message, partitions, read_request, read_response, request, response
from tests.dataflow.core.oracle import Named, NodeSpec, Source, Story, describe

NOW = 1_000
QUIET = 700_000
TENSORS = ("A", "B")
JOINS = ("inner", "outer", "any")


def sources(choose: random.Random, before: int) -> tuple[Source, ...]:
    """Different topics, each with some tensors or all."""
    places = [(None, False)] + [(step, is_echo) for step in range(before) for is_echo in (False, True)]
    chosen = choose.sample(places, choose.randint(1, min(3, len(places))))
    wanted = [None, frozenset("A"), frozenset("B"), frozenset("AB")]
    return tuple(Source(step, is_echo, choose.choice(wanted)) for step, is_echo in chosen)


def pipeline(choose: random.Random) -> list[NodeSpec]:
    """Steps, then the output. Made from a seed: strategies for it would take longer than all that is tested."""
    count = choose.randint(1, 5)
    nodes = []
    for index in range(count + 1):
        triggers = sources(choose, index) if index < count and choose.random() < 0.25 else ()
        data, join = sources(choose, index), choose.choice(JOINS)
        if any(source.is_echo for source in data) and join == "any":
            # What goes to a step can come with something else at one moment; which is first is nobody's business.
            data = data[:1]
        nodes.append(NodeSpec(data, triggers, join, choose.choice(JOINS)))
    return nodes


def _references(sources: Sequence[Source]) -> list[str]:
    found = []
    for source in sources:
        name = "p.inputs" if source.step is None else f"m{source.step}.{'inputs' if source.is_echo else 'outputs'}"
        found += [f"{name}.{tensor}" for tensor in sorted(source.wanted)] if source.wanted else [name]
    return found


def topology(nodes: Sequence[NodeSpec]) -> Topology:
    steps = {
        f"m{index}": {
            "inputs": _references(node.data),
            "triggers": _references(node.triggers),
            "join": node.join,
            "trigger_join": node.trigger_join,
        }
        for index, node in enumerate(nodes[:-1])
    }
    return Topology(message("p", steps, {"steps": _references(nodes[-1].data), "join": nodes[-1].join}))


class Simulation:
    """Callers, models and a log. All choices are the random generator's."""

    def __init__(self, nodes: Sequence[NodeSpec], seed: int, raw: bool = False) -> None:
        self.choose = random.Random(seed)
        self.nodes = nodes
        self.shape = topology(nodes)
        self.flow = Flow(self.shape, partitions(self.shape))
        self.keys = [f"{self.choose.randrange(3)}.p.{index}".encode() for index in range(self.choose.randint(1, 3))]
        self.stories = {key: Story(nodes) for key in self.keys}
        self.raw = raw
        self.log: dict[str, list[Arrival]] = {}
        self.emissions: list[Emission] = []
        self.said: Counter[tuple[bytes, int, Any]] = Counter()
        self.finished: list[Place] = []
        self.pending: list[tuple[str, bytes, int | None]] = [(self.shape.input_topic, key, None) for key in self.keys]
        """What is still to be written to the log: topic, key and the step that says something."""
        self.unread: list[Arrival] = []
        self.seen: set[tuple[bytes, int | None]] = set()

    def tensors(self, key: bytes, step: int | None) -> Named | None:
        """What the caller or the model says; None for an error. Depends on nothing else."""
        said = random.Random(f"{key!r} {step}")
        if step is not None and said.random() < 0.15:
            return None
        number = self.keys.index(key) * 100 + (0 if step is None else step + 1)
        return [(name, number * 10 + place) for place, name in enumerate(TENSORS) if said.random() < 0.75]

    def write(self) -> None:
        """One of the things that are to be said is said, sometimes twice."""
        topic, key, step = self.pending.pop(self.choose.randrange(len(self.pending)))
        record = self._record(topic, key, step)
        for _ in range(2 if self.choose.random() < 0.15 else 1):
            log = self.log.setdefault(record.topic, [])
            log.append(record._replace(offset=len(log)))
            self.unread.append(log[-1])

    def _record(self, topic: str, key: bytes, step: int | None) -> Arrival:
        headers = [("pipeline", b"p"), ("x-pipeline-version", b"1"), ("x-of", key)]
        tensors = self.tensors(key, step)
        content = {name: [number] for name, number in tensors or []}
        value = (request if step is None else response)(content, raw=self.raw and self.choose.random() < 0.5)
        if tensors is None:
            topic, value = NAMES.errors, b"broken"
            headers.append((ERROR, f"m{step}".encode()))
        return Arrival(topic, 0, 0, key, value, tuple(headers))

    def read(self, most: int) -> list[Arrival]:
        """The next records of the log, those of one topic in order."""
        batch, self.unread = self.unread[:most], self.unread[most:]
        return batch

    def receive(self, batch: list[Arrival]) -> Outcome:
        outcome = self.flow.receive(batch, NOW)
        for record in batch:
            assert record.key is not None
            step = self._said_by(record)
            if (record.key, step) not in self.seen:
                self.seen.add((record.key, step))
                self.stories[record.key].events.append((step, self.tensors(record.key, step)))
        return outcome

    def _said_by(self, record: Arrival) -> int | None:
        name = dict(record.headers).get(ERROR, b"").decode() or record.topic.split(".")[3]
        return None if name == "p" else int(name[1:])

    def take(self, outcome: Outcome) -> None:
        self.emissions += outcome.emissions
        self.said.update(map(self._seen_as, outcome.emissions))
        self.finished += outcome.finished
        for record in outcome.emissions:
            assert dict(record.headers)["x-of"] == record.key, "headers of another request"
            if record.topic != self.shape.output_topic:
                step = int(record.topic.split(".")[3][1:])
                self.pending.append((NAMES.model_outputs(f"m{step}"), record.key, step))

    def run(self, check: bool) -> None:
        while self.pending or self.unread:
            if self.pending and (not self.unread or self.choose.random() < 0.6):
                self.write()
                continue
            self.take(self.receive(self.read(self.choose.choice([1, 1, 2, 5]))))
            if check:
                self.check()

    def check(self) -> None:
        """The emissions so far are those that the events so far ask for."""
        expected: Counter[tuple[bytes, int, Any]] = Counter()
        for key, story in self.stories.items():
            now = story.at(len(story.events))
            output = len(self.nodes) - 1
            for index, tensors in now.fired.items():
                expected[(key, index, tuple(tensors))] += 1
            if output in now.dead:
                expected[(key, output, "error")] += 1
        assert self.said == expected

    def _seen_as(self, record: Emission) -> tuple[bytes, int, Any]:
        output = len(self.nodes) - 1
        index = output if record.topic == self.shape.output_topic else int(record.topic.split(".")[3][1:])
        if ERROR in dict(record.headers):
            return record.key, index, "error"
        content = (read_response if index == output else read_request)(record.value)
        return record.key, index, tuple((name, value[0]) for name, value in content)

    def check_end(self) -> None:
        assert self.flow.in_flight == 0
        places = [Place(record.topic, record.partition, record.offset) for log in self.log.values() for record in log]
        assert sorted(self.finished) == sorted(places), "a record was not finished exactly once"


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64), st.booleans())
def test_every_node_fires_exactly_when_the_definition_says(seed: int, raw: bool) -> None:
    nodes = pipeline(random.Random(seed))
    note(describe(nodes))
    simulation = Simulation(nodes, seed, raw)
    simulation.run(check=True)
    simulation.check_end()
    answered = Counter(record.key for record in simulation.emissions if record.topic == simulation.shape.output_topic)
    assert answered == Counter(simulation.keys), "not everyone was answered once"


class Crashing(Simulation):
    """The engine dies once: nothing of its last turn is committed, some of what that turn emitted is written."""

    def __init__(self, nodes: Sequence[NodeSpec], seed: int) -> None:
        super().__init__(nodes, seed)
        self.turns_left = self.choose.randint(0, 12)
        self.acknowledged: list[Place] = []

    def take(self, outcome: Outcome) -> None:
        self.turns_left -= 1
        if self.turns_left != 0:
            super().take(outcome)
            self.acknowledged += outcome.finished
            return
        written = self.choose.randint(0, len(outcome.emissions))
        super().take(Outcome(outcome.emissions[:written], [], []))
        self._restart()

    def _restart(self) -> None:
        self.flow = Flow(self.shape, partitions(self.shape))
        for record in self.emissions:
            self.flow.emitted_before(record.topic, record.key, record.headers)
        finished = set(self.acknowledged)
        again: list[list[Arrival]] = []
        for log in self.log.values():
            committed = 0
            while committed < len(log) and Place(log[committed].topic, 0, committed) in finished:
                committed += 1
            again.append(log[committed:])
        self.unread = []
        # Topics are read again in whatever order, each from its committed offset.
        while remaining := [records for records in again if records]:
            records = self.choose.choice(remaining)
            self.unread.append(records.pop(0))
        self.finished = []


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**64))
def test_a_crash_changes_nothing_that_anybody_sees(seed: int) -> None:
    nodes = pipeline(random.Random(seed))
    note(describe(nodes))
    calm, crashed = Simulation(nodes, seed), Crashing(nodes, seed)
    calm.run(check=False)
    crashed.run(check=False)
    for time in (QUIET, 2 * QUIET):
        crashed.take(crashed.flow.tick(NOW + time))
    assert crashed.flow.in_flight == 0
    if all("any" not in (node.join, node.trigger_join) for node in nodes):
        assert calm.said == crashed.said
    written = Counter((record.topic, record.key) for record in crashed.emissions)
    assert set(written.values()) <= {1}, "something was written twice"
    assert all((crashed.shape.output_topic, key) in written for key in crashed.keys), "somebody got no answer"


@pytest.mark.parametrize("join", JOINS)
def test_the_oracle_itself_on_a_pair(join: str) -> None:
    nodes = [
        NodeSpec((Source(None, False, None),), (), "inner", "inner"),
        NodeSpec((Source(None, False, None), Source(0, False, None)), (), join, "inner"),
    ]
    story = Story(nodes, [(None, [("A", 1)]), (0, [("B", 2)])])
    assert story.at(1).fired == {0: [("A", 1)]} | ({1: [("A", 1)]} if join == "any" else {})
    assert story.at(2).fired[1] == [("A", 1)] + ([] if join == "any" else [("B", 2)])
