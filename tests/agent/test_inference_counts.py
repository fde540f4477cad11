"""Counts of inference calls: recorded here, read from Envoy's text, kept over its restarts."""

from typing import NamedTuple

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.core.envoy_counts import snapshot
from services.agent.core.inference_counts import (
    BUCKET,
    SECONDS,
    SUM,
    TOTAL,
    Counts,
    LastingCounts,
    OwnCounts,
    Series,
    added,
)
from shared.grpc_codes import camel_case

NAMES = [Series(TOTAL, (model, f"{model}_1", "rest", "200")) for model in ("a", "b")]
FIRST = Series(TOTAL, ("iris", "iris_1", "rest", "200"))


class Life(NamedTuple):
    """One run of Envoy: how many calls of each series happen before each time it is asked."""

    rounds: list[tuple[int, int]]
    seconds_between: int


LIVES = st.lists(
    st.builds(
        Life,
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=6),
        st.integers(1, 30),
    ),
    max_size=6,
)


@given(LIVES)
def test_counts_never_go_back_and_never_exceed_what_happened(lives: list[Life]) -> None:
    lasting, happened, shown_before = LastingCounts(), [0, 0], [0.0, 0.0]
    for life in lives:
        in_life = [0, 0]
        for asked, calls in enumerate(life.rounds, start=1):
            for index, more in enumerate(calls):
                in_life[index] += more
                happened[index] += more
            # As Envoy does: what was never counted is not shown.
            shown = {name: float(value) for name, value in zip(NAMES, in_life, strict=True) if value}
            lasting.observe(asked * life.seconds_between, shown)
            totals = [lasting.totals().get(name, 0.0) for name in NAMES]
            assert all(before <= now for before, now in zip(shown_before, totals, strict=True))
            assert all(now <= most for now, most in zip(totals, happened, strict=True))
            shown_before = totals


@given(LIVES)
def test_nothing_is_lost_when_a_restart_is_seen(lives: list[Life]) -> None:
    """With a look at Envoy right after each start, before any call, every call is counted exactly once."""
    lasting, happened = LastingCounts(), [0, 0]
    for life in lives:
        in_life = [0, 0]
        lasting.observe(0.0, {})
        for asked, calls in enumerate(life.rounds, start=1):
            for index, more in enumerate(calls):
                in_life[index] += more
                happened[index] += more
            shown = {name: float(value) for name, value in zip(NAMES, in_life, strict=True) if value}
            lasting.observe(asked * life.seconds_between, shown)
    assert [lasting.totals().get(name, 0.0) for name in NAMES] == happened


@pytest.mark.parametrize(
    ("uptime", "counts", "total"),
    [
        (20, {FIRST: 7.0}, 7.0),
        (20, {FIRST: 5.0}, 5.0),
        (20, {FIRST: 4.0}, 9.0),
        (20, {}, 5.0),
        (3, {FIRST: 7.0}, 12.0),
    ],
    ids=["more", "the same", "less", "none", "more, but younger"],
)
def test_what_a_restart_looks_like(uptime: float, counts: Counts, total: float) -> None:
    lasting = LastingCounts()
    lasting.observe(10, {FIRST: 5.0})
    lasting.observe(uptime, counts)
    assert lasting.totals()[FIRST] == total


def test_own_calls() -> None:
    own = OwnCounts()
    own.rest("iris_1", "POST", 200, 0.01)
    own.rest("iris_1", "POST", 200, 7.0)
    own.rest("", "GET", 404, 20.0)
    own.rest("iris_1", "BREW", 405, 1.0)
    own.grpc("iris_1", "NOT_FOUND", 0.2, stream=False)
    own.grpc("iris_1", "OK", 100.0, stream=True)
    counts = own.counts()
    assert {series.labels: value for series, value in counts.items() if series.name == TOTAL} == {
        ("iris", "iris_1", "rest", "200"): 2,
        ("", "", "rest", "404"): 1,
        ("iris", "iris_1", "rest", "405"): 1,
        ("iris", "iris_1", "grpc", "NotFound"): 1,
        ("iris", "iris_1", "grpc", "OK"): 1,
    }
    assert counts[Series(SECONDS, ("iris", "iris_1", "grpc", "OK"))] == 100
    post = {series.labels[2]: value for series, value in counts.items() if series.labels[:2] == ("post", "200")[:2]
            and series.name == BUCKET}  # fmt: skip
    assert post == {
        **dict.fromkeys(["0.005"], 0), **dict.fromkeys(["0.01", "0.025", "0.05", "0.075", "0.1"], 1),
        **dict.fromkeys(["0.25", "0.5", "0.75", "1", "2.5", "5"], 1), **dict.fromkeys(["7.5", "10", "+Inf"], 2),
    }  # fmt: skip
    assert {series.labels for series in counts if series.name == SUM} == {
        ("post", "200"), ("get", "404"), ("grpc", "NotFound"),
    }  # fmt: skip


def test_codes_are_named_as_envoy_names_them() -> None:
    names = {camel_case(code.name) for code in grpc.StatusCode}
    assert names == {
        "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
        "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
        "Internal", "Unavailable", "DataLoss", "Unauthenticated",
    }  # fmt: skip


ENVOY = """\
# TYPE envoy_seldon_model_infer_microseconds counter
envoy_seldon_model_infer_microseconds{%s,via="agent",code="200",grpc_code=""} 1500000
envoy_seldon_model_infer_microseconds{%s,via="server",code="200",grpc_code=""} 500000
# TYPE envoy_seldon_model_infer_total counter
envoy_seldon_model_infer_total{%s,via="agent",code="200",grpc_code=""} 1
envoy_seldon_model_infer_total{%s,via="server",code="200",grpc_code=""} 2
envoy_seldon_model_infer_total{model="x",model_internal="x_2",method_type="grpc",server="s",server_replica="1",via="server",code="200",grpc_code="NotFound"} 3
envoy_seldon_model_infer_total{model="x",model_internal="x_2",method_type="grpc",server="s",server_replica="1",via="server",code="503",grpc_code=""} 4
envoy_seldon_model_infer_total{model="x",model_internal="x_2",method_type="grpc",server="s",server_replica="2",via="server",code="200",grpc_code="OK"} 99
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 12
# TYPE envoy_seldon_model_infer_api histogram
envoy_seldon_model_infer_api_bucket{server="s",server_replica="1",method_type="rest",verb="POST",code="200",grpc_code="",le="5000"} 1
envoy_seldon_model_infer_api_bucket{server="s",server_replica="1",method_type="rest",verb="POST",code="200",grpc_code="",le="10000000"} 2
envoy_seldon_model_infer_api_bucket{server="s",server_replica="1",method_type="rest",verb="POST",code="200",grpc_code="",le="+Inf"} 2
envoy_seldon_model_infer_api_sum{server="s",server_replica="1",method_type="rest",verb="POST",code="200",grpc_code=""} 2500.5
envoy_seldon_model_infer_api_count{server="s",server_replica="1",method_type="rest",verb="POST",code="200",grpc_code=""} 2
""".replace("%s", 'model="iris",model_internal="iris_1",method_type="rest",server="s",server_replica="1"')  # noqa: E501


def test_envoys_text() -> None:
    uptime, counts = snapshot(ENVOY, "s", "1")
    assert uptime == 12
    assert counts == {
        Series(SECONDS, ("iris", "iris_1", "rest", "200")): 2.0,
        Series(TOTAL, ("iris", "iris_1", "rest", "200")): 3,
        Series(TOTAL, ("x", "x_2", "grpc", "NotFound")): 3,
        Series(TOTAL, ("x", "x_2", "grpc", "Unavailable")): 4,
        Series(BUCKET, ("post", "200", "0.005")): 1,
        Series(BUCKET, ("post", "200", "10")): 2,
        Series(BUCKET, ("post", "200", "+Inf")): 2,
        Series(SUM, ("post", "200")): 0.0025005,
    }


def test_an_answer_of_something_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not that of an Envoy"):
        snapshot("<html>hello</html>", "s", "1")


def test_two_sources_are_added() -> None:
    other = Series(TOTAL, ("iris", "iris_1", "grpc", "OK"))
    assert added(({FIRST: 2.0}, {FIRST: 3.0, other: 1.0})) == {FIRST: 5.0, other: 1.0}
