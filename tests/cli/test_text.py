"""The pure parts: tables, JSON, headers, counts, switches and precedence."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.addresses import SCHEDULER, find
from services.cli.config_file import CliConfig, Tls, parse_config
from services.cli.failures import CommandFailed
from services.cli.grammar import normalise
from services.cli.infer import Reply, Tally, parse_headers, request_headers, rest_failure
from services.cli.text import reindent, table
from services.cli.waiting import wait_until
from shared.errors import InvalidInput

DEPLOYMENT = CliConfig(scheduler_host="d")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def test_table_has_tab_stops_of_eight() -> None:
    assert table(("model", "state", "reason"), [("iris", "ModelAvailable", ""), ("longname", "x", "why")]) == (
        "model\t\tstate\t\treason\n-----\t\t-----\t\t------\niris\t\tModelAvailable\t\nlongname\tx\t\twhy"
    )


@given(st.lists(st.tuples(*[st.text("ab", max_size=20)] * 2), min_size=1, max_size=5))
def test_table_columns_start_together(rows: list[tuple[str, str]]) -> None:
    lines = table(("one", "two", "mark"), [(*row, "|") for row in rows]).split("\n")[2:]
    assert len({line.expandtabs().index("|") for line in lines}) == 1
    assert {line.split("\t")[0] for line in lines} == {row[0] for row in rows}


def test_reindent_keeps_numbers_as_they_are_written() -> None:
    body = '{"a": [1.50, 1e5, {"b": "x,[\\"]"}], "empty": [], "none": {}}'
    assert reindent(body) == (
        '{\n\t"a": [\n\t\t1.50,\n\t\t1e5,\n\t\t{\n\t\t\t"b": "x,[\\"]"\n\t\t}\n\t],\n\t"empty": [],\n\t"none": {}\n}'
    )


@given(JSON)
def test_reindent_changes_nothing_but_space(value: object) -> None:
    assert json.loads(reindent(json.dumps(value))) == value


def test_reindent_leaves_other_text() -> None:
    assert reindent("upstream connect error") == "upstream connect error"


def test_headers() -> None:
    assert parse_headers(["a=b", "C="]) == [("a", "b"), ("C", "")]
    for bad in ("a", "a=b=c", "=b"):
        with pytest.raises(InvalidInput, match=f"Badly formed header {bad}: use key=val"):
            parse_headers([bad])
    for reserved in ("host", "Authority", ":authority"):
        with pytest.raises(InvalidInput, match="use --authority"):
            parse_headers([f"{reserved}=x"])


def test_user_headers_win() -> None:
    assert request_headers("iris", (":iris_1:",), [("Seldon-Model", "other"), ("x", "1")]) == [
        ("x-seldon-route", ":iris_1:"),
        ("seldon-model", "other"),
        ("x", "1"),
    ]


def test_tally_counts_every_hop_and_sorts() -> None:
    tally = Tally()
    for reply in (
        Reply(True, 200, (":iris_1:",), ""),
        Reply(True, 200, (":iris2_1:", ":p.pipeline:"), ""),
        Reply(True, 200, (), ""),
        Reply(False, 503, (), ""),
        Reply(False, 404, (":iris_1:",), ""),
        Reply(False, 404, (":iris_1:",), ""),
    ):
        tally.add(reply)
    assert tally.summary() == (
        "Success: map[:1 :iris2_1::1 :iris_1::1 :p.pipeline::1]\nErrors: map[:map[503:1] :iris_1::map[404:2]]"
    )


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (400, '{"error": "wrong shape"}', "wrong shape"),
        (400, "[]", "V2 server error: 400 []"),
        (400, "no json", "V2 server error: 400 no json"),
        (503, '{"error": "x"}', 'V2 server error: 503 {"error": "x"}'),
    ],
)
def test_rest_failures(status: int, body: str, sentence: str) -> None:
    assert rest_failure(status, body) == sentence


def test_values_after_equals_signs() -> None:
    switches = {"-o": "--no-show-response", "--show-response": "--no-show-response", "-s": ""}
    given = ["-o=false", "--show-response=T", "-s=0", "-s=1", "-i=10", "--header=a=b", "--", "-o=false"]
    expected = ["--no-show-response", "--show-response", "-s", "-i", "10", "--header=a=b", "--", "-o=false"]
    assert normalise(given, switches, frozenset({"-i"})) == expected
    with pytest.raises(InvalidInput, match="invalid -o 'perhaps': use true or false"):
        normalise(["-o=perhaps"], switches, frozenset())


@pytest.mark.parametrize(
    ("flag", "configured", "variable", "expected"),
    [
        ("f", "c", "v", "f"),
        ("", "c", "v", ""),
        (None, "c", "v", "c"),
        (None, "", "v", "v"),
        (None, "", "", "d"),
        (None, "", None, "d"),
    ],
)
def test_precedence(flag: str | None, configured: str, variable: str | None, expected: str) -> None:
    environment = {"SELDON_SCHEDULE_HOST": variable or ""}
    assert find(SCHEDULER, flag, CliConfig(scheduler_host=configured), environment, DEPLOYMENT).address == expected


def test_without_a_deployment_the_usual_address_and_before_one_none() -> None:
    """What answers at the usual address may be somebody else's."""
    assert find(SCHEDULER, None, CliConfig(), {}, None).address == "0.0.0.0:9004"
    with pytest.raises(InvalidInput, match=r"make deploy-local.*--scheduler-host, SELDON_SCHEDULE_HOST or"):
        find(SCHEDULER, None, CliConfig(), {}, CliConfig())


def test_config_file() -> None:
    assert parse_config("{}", "f") == CliConfig()
    document: dict[str, object] = {
        "dataplane": {"inferHost": "a:1", "tls": True, "skipSSLVerify": True, "caPath": "ca", "new": 1},
        "controlplane": {"schedulerHost": "b:2", "tls": False, "keyPath": "k", "crtPath": "c"},
        "kafka": None,
        "other": [],
    }
    assert parse_config(json.dumps(document), "f") == CliConfig(
        "a:1", "b:2", "", Tls(ca_path="ca", skip_verify=True), Tls("k", "c")
    )
    assert parse_config('{"controlplane": {"tls": true}}', "f").controlplane_tls is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("nope", "f is no JSON"),
        ("[]", "f: must be a JSON object"),
        ('{"dataplane": 1}', "f: invalid dataplane 1: must be an object"),
        ('{"dataplane": {"tls": "yes"}}', "f: invalid dataplane.tls 'yes': use true or false"),
        ('{"dataplane": {"inferHost": 1}}', "f: invalid dataplane.inferHost 1: use a string"),
    ],
)
def test_config_file_faults(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_config(text, "f")
    assert sentence in str(caught.value)


@given(ready_at=st.integers(0, 20), timeout=st.integers(0, 20))
def test_waiting_asks_once_a_second_until_the_end(ready_at: int, timeout: int) -> None:
    now = 0.0
    asked: list[float] = []

    def ask() -> float:
        asked.append(now)
        return now

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    if ready_at <= timeout:
        assert wait_until(ask, lambda at: at >= ready_at, "Model", timeout, lambda: now, sleep) == ready_at
    else:
        with pytest.raises(CommandFailed, match=r"^Model wait status timeout$"):
            wait_until(ask, lambda at: at >= ready_at, "Model", timeout, lambda: now, sleep)
    assert asked == list(range(min(ready_at, timeout) + 1))
