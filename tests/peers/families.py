"""Every metric family that the services define, as their registries know it."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client import CollectorRegistry, generate_latest

from services.agent.core.inference_counts import OwnCounts
from services.agent.metrics.endpoint import AgentMetrics
from services.dataflow import metrics as dataflow
from services.modelgateway.metrics import GatewayMetrics as ModelGatewayMetrics
from services.pipelinegateway.metrics import GatewayMetrics as PipelineGatewayMetrics
from services.scheduler import metrics as scheduler
from services.v1gateway.core.labels import Model
from services.v1gateway.metrics import ExecutorMetrics

ENVOY = Path(__file__).resolve().parents[2] / "compose" / "envoy" / "envoy.yaml"


class Family(NamedTuple):
    name: str
    type: str
    labels: tuple[str, ...]
    help: str


def services() -> dict[str, list[Family]]:
    """By folder under `services/`, and `envoy` for what our bootstrap makes Envoy count."""
    model_gateway, pipeline_gateway = CollectorRegistry(), CollectorRegistry()
    ModelGatewayMetrics(model_gateway)
    PipelineGatewayMetrics(pipeline_gateway)
    return {
        "agent": _agent(),
        "pipelinegateway": _of(pipeline_gateway._collector_to_names),
        "modelgateway": _of(model_gateway._collector_to_names),
        "dataflow": _of(vars(dataflow).values()),
        "scheduler": _of(vars(scheduler).values()),
        "v1gateway": _v1gateway(),
        "envoy": _envoy(),
    }


def _of(collectors: Iterable[Any]) -> list[Family]:
    found = []
    for collector in collectors:
        if hasattr(collector, "_labelnames"):
            name = collector._name + ("_total" if collector._type == "counter" else "")
            found.append(Family(name, collector._type, tuple(collector._labelnames), collector._documentation))
    return sorted(found)


def _agent() -> list[Family]:
    """From what it shows after one of everything."""
    calls = OwnCounts()
    calls.rest("iris_1", "POST", 200, 0.1)
    metrics = AgentMetrics("mlserver", 0, 1, 0)
    metrics.loaded("iris_1", 1)
    return _shown(metrics.text(calls.counts(), envoy_up=True).decode())


def _v1gateway() -> list[Family]:
    """As `_agent`."""
    registry = CollectorRegistry()
    metrics = ExecutorMetrics(registry)
    of, model = ("d", "p", "v"), Model("m", "i", "v")
    metrics.served(of, "predictions", "post", "200", 0.1)
    metrics.asked(of, "predictions", "post", "200", model, 0.1)
    metrics.told(of, model, 1)
    return _shown(generate_latest(registry).decode())


def _shown(text: str) -> list[Family]:
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    found = []
    for name, kind in re.findall(r"^# TYPE (seldon\S+) (\S+)$", text, re.MULTILINE):
        sample = re.search(rf"^{name}(?:_sum)?\{{(.*)\}} ", text, re.MULTILINE)
        labels = re.findall(r'(\w+)="', sample[1]) if sample else []
        found.append(Family(name, kind.replace("untyped", "unknown"), tuple(sorted(labels)), helps[name]))
    return sorted(found)


def _envoy() -> list[Family]:
    """The statistics of the access logger; there are no help texts."""
    config = yaml.safe_load(re.sub(r"\$\{\w+\}", "1", ENVOY.read_text()))
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    found = []
    for log in manager["access_log"]:
        settings = log["typed_config"]
        if "stats_scope" in settings:
            for kind in ("counter", "histogram"):
                for entry in settings.get(f"{kind}s", ()):
                    labels = tuple(tag["name"] for tag in entry["stat"]["tags"])
                    name = f"envoy_{settings['stats_scope']['prefix']}_{entry['stat']['name']}"
                    found.append(Family(name, kind, labels, ""))
    return sorted(found)
