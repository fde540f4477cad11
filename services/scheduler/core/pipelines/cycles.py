"""Loops: of steps within a pipeline, and of pipelines that feed each other."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.references import external_pipeline
from shared.errors import RejectedRequest

_SHOWN: Final = 20
"""Names of a loop in an error, which has to fit into the headers of an answer."""


def check_across(pipelines: Mapping[str, pb.Pipeline], candidate: pb.Pipeline) -> None:
    """Raise RejectedRequest when `candidate` would read, through others, what it puts out itself.

    `pipelines` are those that run; one with the candidate's name is replaced by it. A loop among others is not the
    candidate's fault and is left alone.
    """
    loop = _upstream_loop(pipelines, candidate)
    if loop:
        raise RejectedRequest(
            f"pipeline {candidate.name} has a cycle across pipelines: {show(loop)}: "
            "leave out one of the externalInputs or externalTriggers on this path"
        )


def find_cycle(feeds: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A loop in a graph of what feeds what, its first node also at its end; None when there is none.

    Depth first, without recursion: time grows with nodes and edges. Nodes that are no keys feed nothing.
    """
    done: set[str] = set()
    for start in feeds:
        if start in done:
            continue
        path, places = [start], {start: 0}
        open_edges: list[Iterator[str]] = [iter(feeds[start])]
        while path:
            node = next(open_edges[-1], None)
            if node is None:
                left = path.pop()
                open_edges.pop()
                del places[left]
                done.add(left)
            elif node in places:
                return [*path[places[node] :], node]
            elif node not in done:
                places[node] = len(path)
                path.append(node)
                open_edges.append(iter(feeds.get(node, ())))
    return None


def show(loop: Sequence[str]) -> str:
    """`a -> b -> a`; the middle of a long loop is left out."""
    if len(loop) <= _SHOWN:
        return " -> ".join(loop)
    half = _SHOWN // 2
    return " -> ".join([*loop[:half], f"... {len(loop) - 2 * half} more ...", *loop[-half:]])


def _upstream_loop(pipelines: Mapping[str, pb.Pipeline], candidate: pb.Pipeline) -> list[str] | None:
    """The shortest way back to the candidate against the flow of data, told in the direction of the flow."""
    reader_of: dict[str, str] = {}
    waiting = [candidate]
    for pipeline in waiting:
        for source in _sources(pipeline):
            if source == candidate.name:
                loop = [candidate.name, pipeline.name]
                while loop[-1] != candidate.name:
                    loop.append(reader_of[loop[-1]])
                return loop
            if source not in reader_of:
                reader_of[source] = pipeline.name
                if source in pipelines:
                    waiting.append(pipelines[source])
    return None


def _sources(pipeline: pb.Pipeline) -> Iterator[str]:
    for text in (*pipeline.input.externalInputs, *pipeline.input.externalTriggers):
        yield external_pipeline(text)
