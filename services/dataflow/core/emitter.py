"""Where the outcome of a turn is put together: records with their headers and partitions, finished places, problems."""

from collections.abc import Iterable, Mapping
from typing import Final

from services.dataflow.core.graph import Kind, Node
from services.dataflow.core.records import Emission, Outcome, Problem
from services.dataflow.core.topology import Topology
from shared.errors import InvalidInput
from shared.kafka.headers import BATCH, DEADLINE, ERROR, ERROR_CODE, PIPELINE, PIPELINE_VERSION, Headers
from shared.kafka.names import partition_of as partition_among

VISIT: Final = "seldon-visit"
"""On what goes to a model in a pipeline with cycles, and on its answer: how often the step was visited before."""
_REPLACED: Final = frozenset(
    (PIPELINE, PIPELINE_VERSION, ERROR, ERROR_CODE, BATCH, VISIT, "x-seldon-alibi-type", "x-seldon-alibi-method")
)
_NOT_IN_OTHERS: Final = _REPLACED | {DEADLINE}
"""Nobody waits in another pipeline for what enters it."""
_INTAKE: Final = Kind.INTAKE
_MOST_PARTITIONS: Final = 1_000_000


def partition_of(key: bytes) -> int:
    """The partition that the key asks for, on a topic with any number of them."""
    return partition_among(key, _MOST_PARTITIONS)


class Emitter:
    def __init__(self, topology: Topology, partitions: Mapping[str, int]) -> None:
        missing = sorted(topology.sinks - partitions.keys())
        if missing:
            raise InvalidInput.of_field("partitions", dict(partitions), f"say how many {', '.join(missing)} have")
        self._topology = topology
        self._last = {topic: count - 1 for topic, count in partitions.items()}
        self._stamp = [(PIPELINE, topology.pipeline.encode()), (PIPELINE_VERSION, str(topology.version).encode())]
        self.outcome = Outcome()
        self.now = 0

    def begin(self, now: int) -> Outcome:
        """A new turn: what is emitted from now on goes into this outcome."""
        self.now = now
        self.outcome = Outcome()
        return self.outcome

    def send(
        self,
        node: Node,
        key: bytes,
        partition: int,
        value: bytes,
        headers: Headers,
        extra: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        dropped = _NOT_IN_OTHERS if node.kind is _INTAKE else _REPLACED
        kept = [header for header in headers if header[0] not in dropped]
        kept += self._stamp
        kept += extra
        self._emit(node.sink, key, partition, value, kept)

    def send_error(self, topic: str, key: bytes, partition: int, headers: Headers, error: "Failure") -> None:
        kept = [header for header in headers if header[0] not in _REPLACED]
        kept += self._stamp
        kept.append((ERROR, error.name.encode()))
        if error.code is not None:
            kept.append((ERROR_CODE, error.code))
        self._emit(topic, key, partition, error.text, kept)

    def problem(self, kind: str, sentence: str, headers: Headers, cause: Exception | None = None) -> None:
        """`headers` are those of the record, or of the request."""
        self.outcome.problems.append(Problem(kind, sentence, headers, cause))

    def partition_in(self, topic: str, partition: int) -> int:
        """The partition of a topic that a request of another partition ends up in."""
        return min(partition, self._last[topic])

    def _emit(self, topic: str, key: bytes, partition: int, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        last = self._last[topic]
        self.outcome.emissions.append(Emission(topic, partition if partition < last else last, key, value, headers))


class Failure:
    """Why a request gets no answer."""

    __slots__ = ("code", "name", "text")

    def __init__(self, name: str, text: bytes, code: bytes | None = None) -> None:
        self.name = name
        """The model, or the pipeline."""
        self.text = text
        self.code = code
        """Name of a status code; None for the model's own error and for what the request itself brings about."""
