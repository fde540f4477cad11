"""Prometheus' configuration, made from its template and the settings of a deployment. Pure text in, text out."""

from collections.abc import Collection, Mapping
from pathlib import Path
from string import Template
from typing import Any, Final

import yaml

from shared.errors import InvalidInput

TEMPLATE: Final = Path(__file__).with_name("prometheus.yml")
PUSHGATEWAYS: Final = Path(__file__).with_name("pushgateways.yml")
"""What follows the template when there are Pushgateways."""
RULES: Final = Path(__file__).with_name("rules.yml")
HOSTS: Final = (
    "AGENT_MLSERVER_HOST", "AGENT_TRITON_HOST", "PIPELINEGATEWAY_HOST", "ENVOY_HOST", "SCHEDULER_HOST",
    "MODELGATEWAY_HOST", "DATAFLOW_HOST", "SERVER_MLSERVER_HOST", "PUSHGATEWAY_ALICE_HOST", "PUSHGATEWAY_BOB_HOST",
    "V1_GATEWAY_HOST",
)  # fmt: skip
"""Names that the template uses beside those of `.env`."""
_REPLICATED: Final = {
    "seldon-pipelinegateway-0": "PIPELINEGATEWAY_REPLICAS",
    "seldon-modelgateway-0": "MODELGATEWAY_REPLICAS",
    "seldon-dataflow-engine-0": "DATAFLOW_REPLICAS",
}
"""Pod of the first of each to the setting that says how many there are."""


def on_one_host(
    template: str, values: Mapping[str, str], host: str, rules: Path, port_step: int, without: Collection[str] = ()
) -> str:
    """The configuration for plain processes on `host` (an IPv6 address without brackets).

    `values` are the settings of the deployment, and every further replica has its ports `port_step` higher. Jobs
    in `without` are left out. Raises InvalidInput for a setting that is missing.
    """
    written = f"[{host}]" if ":" in host else host
    filled = _filled(template, {**values, **dict.fromkeys(HOSTS, written), "PROMETHEUS_RULES": str(rules)})
    configuration: dict[str, Any] = yaml.safe_load(filled)
    configuration["scrape_configs"] = [job for job in configuration["scrape_configs"] if job["job_name"] not in without]
    for job in configuration["scrape_configs"]:
        job["static_configs"] = [
            replica for first in job["static_configs"] for replica in _replicas(first, values, port_step)
        ]
    return yaml.safe_dump(configuration, sort_keys=False)


def _filled(template: str, values: Mapping[str, str]) -> str:
    try:
        return Template(template).substitute(values)
    except KeyError as missing:
        raise InvalidInput(f"the configuration of Prometheus uses {missing.args[0]}: add it to .env") from None


def _replicas(first: dict[str, Any], values: Mapping[str, str], port_step: int) -> list[dict[str, Any]]:
    (target,), labels = first["targets"], first["labels"]
    host, _, port = target.rpartition(":")
    count = int(values.get(_REPLICATED.get(labels["pod"], ""), "1"))
    pod = labels["pod"].removesuffix("0")
    return [
        {"targets": [f"{host}:{int(port) + index * port_step}"], "labels": {**labels, "pod": f"{pod}{index}"}}
        for index in range(count)
    ]
