"""The page about metrics tells what the services define, and dashboards and rules name nothing else."""

import re
from pathlib import Path

import pytest
import yaml

from compose.prometheus.rendering import RULES
from tests.peers import families
from tests.peers.dashboards import dashboards, queries
from tests.peers.families import Family

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "metrics.md"
JOBS = ROOT / "docs" / "simplepipe.md"
HEADINGS = {
    "Agent": "agent",
    "Pipeline gateway": "pipelinegateway",
    "Model gateway": "modelgateway",
    "Dataflow engine": "dataflow",
    "Scheduler": "scheduler",
    "Version 1 gateway": "v1gateway",
    "Envoy: calls to models": "envoy",
}
_WORD = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLES_OWN = {"mycounter_total", "mygauge", "mytimer_sum"}
"""What the sample custom-metrics reports about itself."""
_PYTHON = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def documented(page: Path = PAGE) -> dict[str, list[Family]]:
    """By heading."""
    found: dict[str, list[Family]] = {}
    heading = ""
    for line in page.read_text().splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif row := re.fullmatch(r"\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|", line):
            labels = tuple(re.findall(r"`(\w+)`", row[3]))
            found.setdefault(heading, []).append(Family(row[1], row[2], labels, row[4]))
    return found


def rows(of: list[Family]) -> list[str]:
    """As they are to stand on the page."""
    return [f"| `{f.name}` | {f.type} | {', '.join(f'`{label}`' for label in f.labels)} | {f.help} |" for f in of]


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_page_has_every_family(heading: str) -> None:
    defined = families.services()[HEADINGS[heading]]
    written = documented()[heading]
    if heading.startswith("Envoy"):
        # The access logger has no help texts.
        written = [family._replace(help="") for family in written]
    assert sorted(rows(written)) == sorted(rows(defined))


def test_no_service_with_metrics_is_left_out() -> None:
    defining = {path.parent.name for path in (ROOT / "services").glob("*/metrics*")}
    assert defining == set(HEADINGS.values()) - {"envoy"}


def known_samples() -> set[str]:
    """Names that queries may use."""
    known = set(_PYTHON) | {"up"}
    tables = [*documented().values(), *documented(JOBS).values()]
    for family in (family for written in tables for family in written):
        known |= {family.name} if family.type != "histogram" else {
            family.name + suffix for suffix in ("_bucket", "_sum", "_count")
        }  # fmt: skip
    known |= SAMPLES_OWN
    rules = yaml.safe_load(RULES.read_text())["groups"]
    return known | {rule["record"] for group in rules for rule in group["rules"] if "record" in rule}


def unknown_names(expression: str) -> set[str]:
    """Names of samples that nothing documented has; what is in braces, in brackets or a list of labels is none."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|ignoring) \([^)]*\)|(?<![\w:])\d[\d.]*", " ", expression)
    names = {word for word in _WORD.findall(bare) if "_" in word or word == "up"}
    functions = {"histogram_quantile"}
    return names - functions - known_samples()


def test_dashboards_name_only_what_exists() -> None:
    wrong = {query: names for query in queries() if (names := unknown_names(query.expression))}
    assert wrong == {}


def test_rules_name_only_what_exists() -> None:
    rules = yaml.safe_load(RULES.read_text())["groups"]
    wrong = {
        rule["expr"]: names for group in rules for rule in group["rules"] if (names := unknown_names(rule["expr"]))
    }
    assert wrong == {}


def test_the_page_names_every_rule() -> None:
    text = PAGE.read_text()
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    assert [name for rule in rules if (name := rule.get("record") or rule["alert"]) and f"`{name}`" not in text] == []


def test_the_local_dashboard_is_the_one_that_people_link_to() -> None:
    mesh = dashboards()["Seldon Core Model Mesh Monitoring"]
    assert (mesh["uid"], mesh["refresh"], mesh["templating"]["list"]) == ("MHloCP_7z", "5s", [])
    assert [(panel["title"], panel["type"]) for panel in mesh["panels"]] == [
        ("Models", "stat"),
        ("Registered Model Replicas", "stat"),
        ("In-Memory Model Replicas", "stat"),
        ("In-Memory Model Replicas (Memory Slots)", "gauge"),
        ("Model Evict/Miss Rate [1m]", "timeseries"),
        ("Model Load/Unload Rate [1m]", "timeseries"),
        ("Memory Slots", "timeseries"),
        ("Infer Latency [1m]", "timeseries"),
        ("Memory Used", "timeseries"),
        ("CPU [1m]", "timeseries"),
    ]


def test_dashboards_can_be_told_apart_and_find_their_datasource() -> None:
    every = list(dashboards().values())
    assert len({dashboard["uid"] for dashboard in every}) == len(every) > 0
    provisioned = yaml.safe_load((ROOT / "compose/grafana/provisioning/datasources/prometheus.yaml").read_text())
    (source,) = provisioned["datasources"]
    for dashboard in every:
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        for target in (target for panel in dashboard["panels"] for target in panel.get("targets", ())):
            assert target["datasource"]["uid"] == source["uid"]


def test_grafana_knows_both_dashboards_by_the_ids_of_the_source() -> None:
    assert dashboards()["Prediction Analytics"]["uid"] == "th6ThPhGz"
    assert dashboards()["Prediction Analytics"]["refresh"] == "5s"
    variables = {each["name"] for each in dashboards()["Prediction Analytics"]["templating"]["list"]}
    assert variables >= {"project", "deployment", "predictor", "version", "model_name", "model_image", "model_version"}
    assert dashboards()["Custom Metrics Example"]["uid"] == "kHN8Is2Mk"
    expressions = [query.expression for query in queries() if query.dashboard == "Custom Metrics Example"]
    assert expressions == ["rate(mytimer_sum[5m])", "mygauge", "mycounter_total"]
