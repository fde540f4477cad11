"""Loops are found exactly where a search by brute force finds them, and their path is a real one."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.pipelines.cycles import check_across, find_cycle, show
from shared.errors import RejectedRequest
from tests.scheduler_pipelines.builders import normal, step

_nodes = "abcdef"
_graphs = st.fixed_dictionaries({node: st.lists(st.sampled_from(_nodes), max_size=3) for node in _nodes})


def _reachable(graph: dict[str, list[str]], start: str) -> set[str]:
    """What can be reached by one edge or more."""
    found: set[str] = set()
    for _ in graph:
        found |= {target for node in (found | {start}) for target in graph[node]}
    return found


@given(_graphs)
def test_finds_a_loop_where_there_is_one(graph: dict[str, list[str]]) -> None:
    loop = find_cycle(graph)
    assert (loop is not None) == any(node in _reachable(graph, node) for node in graph)
    if loop:
        assert loop[0] == loop[-1]
        assert len(set(loop)) == len(loop) - 1
        assert all(target in graph[node] for node, target in pairwise(loop))


def test_long_chains_and_dense_graphs_are_no_trouble() -> None:
    chain = {str(n): [str(n + 1)] for n in range(50_000)}
    assert find_cycle(chain) is None
    loop = find_cycle(chain | {"50000": ["0"]})
    assert loop is not None
    assert len(loop) == 50_002
    # The number of paths through this is 2**2000: only a search that visits each node once comes to an end.
    layers = {str(n): [str(n + 1), str(n + 2)] for n in range(2000)}
    assert find_cycle(layers) is None


def test_long_loops_are_shortened() -> None:
    assert show(["a", "b", "a"]) == "a -> b -> a"
    shown = show([f"n{n}" for n in range(1000)])
    assert shown.startswith("n0 -> n1 -> ")
    assert " -> ... 980 more ... -> " in shown
    assert shown.endswith(" -> n999")


def _fed(name: str, *sources: str, triggers: tuple[str, ...] = ()) -> pb.Pipeline:
    given = pb.PipelineInput(externalInputs=sources, externalTriggers=triggers) if sources or triggers else None
    return normal(name, step("m"), input=given)


@given(_graphs)
def test_across_finds_the_loops_of_the_candidate(fed_by: dict[str, list[str]]) -> None:
    pipelines = {name: _fed(name, *sources) for name, sources in fed_by.items()}
    candidate = pipelines.pop("a")
    if "a" not in _reachable(fed_by, "a"):
        check_across(pipelines, candidate)
        return
    with pytest.raises(RejectedRequest) as raised:
        check_across(pipelines, candidate)
    path = str(raised.value).split(": ")[1].split(" -> ")
    assert path[0] == path[-1] == "a"
    assert all(feeder in fed_by[reader] for feeder, reader in pairwise(path))


def test_across_names_the_path() -> None:
    others = {"b": _fed("b", "a.step.m"), "c": _fed("c", "x", triggers=("b",))}
    with pytest.raises(RejectedRequest, match="pipeline a has a cycle across pipelines: a -> b -> c -> a: leave out"):
        check_across(others, _fed("a", "c.outputs.T"))


def test_a_pipeline_must_not_feed_itself() -> None:
    with pytest.raises(RejectedRequest, match="pipeline a has a cycle across pipelines: a -> a"):
        check_across({}, _fed("a", "a"))


def test_the_old_version_of_the_candidate_and_loops_of_others_do_not_count() -> None:
    others = {"a": _fed("a", "b"), "b": _fed("b", "c"), "c": _fed("c", "b")}
    check_across(others, _fed("a", "b"))
    check_across({"a": _fed("a", "b"), "b": _fed("b", "a")}, _fed("a"))
