"""The queries of our Grafana dashboards, as Grafana would send them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "compose" / "grafana" / "dashboards"
_OF_ALL = (
    "namespace", "pod", "envoy_cluster_name", "pipeline", "user", "job", "model",
    "project", "deployment", "predictor", "version", "model_name", "model_image", "model_version",
)  # fmt: skip
_VARIABLES = {"interval": "1m", **dict.fromkeys(_OF_ALL, ".*")}


class Query(NamedTuple):
    dashboard: str
    panel: str
    expression: str


def dashboards(folder: str = "") -> dict[str, dict[str, Any]]:
    """By title; those of one folder, or all."""
    read = [json.loads(file.read_text()) for file in sorted((FOLDER / folder).rglob("*.json"))]
    return {dashboard["title"]: dashboard for dashboard in read}


def queries(folder: str = "") -> Iterator[Query]:
    """Every query, its variables at `All`."""
    for title, dashboard in dashboards(folder).items():
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expression = target["expr"]
                for variable in sorted(_VARIABLES, key=len, reverse=True):  # "model" begins "model_name"
                    expression = expression.replace(f"${variable}", _VARIABLES[variable])
                yield Query(title, panel["title"], expression)
