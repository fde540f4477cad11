"""The manifests for clusters fit the API that they are written for, and ask what the local configuration asks.

The models below are the part of the Prometheus Operator's and of Kubernetes' API that the manifests use, and refuse
every other field.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter, model_validator

from compose.prometheus.rendering import TEMPLATE

FOLDER = Path(__file__).resolve().parents[2] / "compose" / "kubernetes" / "version1"
MONITORS = ("prometheus_operator", "openshift")
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Label = Annotated[str, StringConstraints(pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9][-A-Za-z0-9_.]*$")]
Duration = Annotated[str, StringConstraints(pattern=r"^([0-9]+(ms|s|m|h|d|w|y))+$")]
SeriesLabel = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Metadata(Strict):
    name: Name
    namespace: Name
    labels: dict[Label, str] = {}


class Expression(Strict):
    key: Label
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] = []

    @model_validator(mode="after")
    def has_values_where_they_count(self) -> "Expression":
        assert bool(self.values) is (self.operator in ("In", "NotIn"))
        return self


class Selector(Strict):
    matchLabels: dict[Label, str] = {}
    matchExpressions: list[Expression] = []


class Namespaces(Strict):
    any: bool = False
    matchNames: list[Name] = []


class Relabeling(Strict):
    action: Literal["replace", "keep", "drop", "labelmap", "labeldrop", "labelkeep", "hashmod"] = "replace"
    sourceLabels: list[SeriesLabel] = []
    targetLabel: SeriesLabel
    regex: str = ""
    replacement: str = ""


class Endpoint(Strict):
    port: Name
    path: Annotated[str, StringConstraints(pattern="^/")]
    scheme: Literal["http", "https"] = "http"
    interval: Duration
    honorLabels: bool = False
    relabelings: list[Relabeling] = []
    metricRelabelings: list[Relabeling] = []


class MonitorSpec(Strict):
    namespaceSelector: Namespaces | None = None
    selector: Selector
    endpoints: Annotated[list[Endpoint], "not empty"]


class ServiceMonitor(Strict):
    apiVersion: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: MonitorSpec


class ConfigMap(Strict):
    apiVersion: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: dict[str, str]


class Port(Strict):
    name: Name
    port: int
    targetPort: int | str
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"


class ServiceSpec(Strict):
    selector: dict[Label, str]
    ports: list[Port]


class Service(Strict):
    apiVersion: Literal["v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: ServiceSpec


ANY: TypeAdapter[Any] = TypeAdapter(ServiceMonitor | ConfigMap | Service)


def documents(name: str) -> list[Any]:
    return [ANY.validate_python(each) for each in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text())]


def monitors(name: str) -> list[ServiceMonitor]:
    return [each for each in documents(name) if isinstance(each, ServiceMonitor)]


@pytest.mark.parametrize("name", [*MONITORS, "services"])
def test_manifests_validate(name: str) -> None:
    assert documents(name)


def test_a_misspelt_field_is_refused() -> None:
    text = (FOLDER / "openshift.yaml").read_text().replace("interval:", "intervall:")
    with pytest.raises(ValueError, match="intervall"):
        [ANY.validate_python(each) for each in yaml.safe_load_all(text)]


@pytest.mark.parametrize("name", MONITORS)
def test_they_ask_what_the_local_configuration_asks(name: str) -> None:
    executor, models = monitors(name)
    jobs = {
        job["job_name"]: job
        for job in yaml.safe_load(re.sub(r"\$\{\w+\}", "1", TEMPLATE.read_text()))["scrape_configs"]
    }
    for monitor, job in ((executor, jobs["v1-executor"]), (models, jobs["v1-models"])):
        (endpoint,) = monitor.spec.endpoints
        assert (endpoint.path, endpoint.interval) == (job["metrics_path"], job["scrape_interval"])
        relabelled = {each.targetLabel for each in (*endpoint.relabelings, *endpoint.metricRelabelings)}
        local = {
            each["target_label"] for key in ("relabel_configs", "metric_relabel_configs") for each in job.get(key, ())
        }
        # In a cluster `service` is there already.
        assert relabelled == local - {"service"}
        assert not endpoint.honorLabels


@pytest.mark.parametrize("name", MONITORS)
def test_they_select_the_services(name: str) -> None:
    services = documents("services")
    for monitor in monitors(name):
        selector = monitor.spec.selector
        chosen = [
            service
            for service in services
            if all(service.metadata.labels.get(key) == value for key, value in selector.matchLabels.items())
            and all(service.metadata.labels.get(each.key) in each.values for each in selector.matchExpressions)
        ]
        ports = {port.name: port.port for service in chosen for port in service.spec.ports}
        (endpoint,) = monitor.spec.endpoints
        assert {"http": 8000, "metrics": 6000}[endpoint.port] == ports[endpoint.port]


def test_openshift_watches_user_workloads() -> None:
    (settings,) = (each for each in documents("openshift") if isinstance(each, ConfigMap))
    assert (settings.metadata.namespace, settings.metadata.name) == (
        "openshift-monitoring",
        "cluster-monitoring-config",
    )
    assert yaml.safe_load(settings.data["config.yaml"]) == {"enableUserWorkload": True}
