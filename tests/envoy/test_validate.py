"""Envoy itself judges what we give it: the bootstrap, and every kind of generated resource."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from services.scheduler.core.envoy.plans import resources
from services.scheduler.core.envoy.resources import CLUSTER, ENDPOINTS, SCOPE
from services.scheduler.core.routing import NO_GATEWAY, NO_ROUTE, Endpoint, PipelinePlan, Plan, RoutePlan, Upstream
from tests.peers.mesh import Mesh, envoy_binary, envoy_environment

DIRECT, AGENT, IPV6 = ("10.0.0.1", 8080, 8081), ("10.0.0.2", 9999, 9998), ("fd00::1", 8080, 8081)


def upstream(version: int, *endpoints: Endpoint, server_type: str = "mlserver") -> Upstream:
    return Upstream(version, "mlserver", server_type, endpoints)


def plan(*upstreams: Upstream, routed: int | None = 1) -> RoutePlan:
    return RoutePlan(upstreams, routed)


ONE = Endpoint(0, DIRECT, AGENT)
PLANS = {
    "nothing": NO_ROUTE,
    "one copy": plan(upstream(1, ONE)),
    "three copies": plan(upstream(1, *(Endpoint(index, DIRECT, AGENT) for index in range(3)))),
    "agent only": plan(upstream(1, Endpoint(0, None, AGENT))),
    "some through the agent only": plan(upstream(1, ONE, Endpoint(1, None, AGENT))),
    "IPv6": plan(upstream(1, Endpoint(0, IPV6, IPV6))),
    "triton": plan(upstream(1, ONE, server_type="triton")),
    "unknown server type": plan(upstream(1, ONE, server_type="")),
    "update": plan(upstream(1, ONE), upstream(2, Endpoint(1, DIRECT, AGENT)), routed=2),
    "on its way out": plan(upstream(1, ONE), routed=None),
}
PIPELINE_PLANS = {
    "no gateway": NO_GATEWAY,
    "one gateway": PipelinePlan((DIRECT,)),
    "two gateways": PipelinePlan((DIRECT, IPV6)),
}


def mesh(folder: Path) -> Mesh:
    return Mesh(folder, *range(20_001, 20_009))


def as_static(bootstrap: str, name: str, wanted: Plan, retry_seconds: float = 5.0) -> dict[str, Any]:
    """The bootstrap with the resources that xDS would bring written into it."""
    made = resources(name, wanted, retry_seconds)
    config: dict[str, Any] = yaml.safe_load(bootstrap)
    del config["dynamic_resources"]["cds_config"]
    endpoints = {key.name: message for key, message in made.items() if key.type_url == ENDPOINTS}
    for key, message in made.items():
        if key.type_url == CLUSTER:
            cluster = _as_dict(message)
            del cluster["eds_cluster_config"]
            cluster["type"] = "STATIC"
            cluster["load_assignment"] = _as_dict(endpoints[key.name])
            config["static_resources"]["clusters"].append(cluster)
    scopes = [_as_dict(message) for key, message in made.items() if key.type_url == SCOPE]
    if not scopes:
        return config
    listener = config["static_resources"]["listeners"][0]
    scoped = listener["filter_chains"][0]["filters"][0]["typed_config"]["scoped_routes"]
    del scoped["scoped_rds"]
    scoped["scoped_route_configurations_list"] = {"scoped_route_configurations": scopes}
    return config


def _as_dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


async def judge(config: Path) -> tuple[int, str]:
    envoy = await asyncio.create_subprocess_exec(
        envoy_binary(), "--mode", "validate", "-l", "warning", "-c", str(config),
        env=envoy_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await envoy.communicate()
    return envoy.returncode or 0, output.decode()


async def test_the_bootstrap_is_valid(tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(mesh(tmp_path).bootstrap())
    code, output = await judge(config)
    assert code == 0, output


@pytest.mark.parametrize("case", PLANS)
async def test_every_kind_of_plan_is_valid(tmp_path: Path, case: str) -> None:
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(as_static(mesh(tmp_path).bootstrap(), "iris", PLANS[case])))
    code, output = await judge(config)
    assert code == 0, output


@pytest.mark.parametrize("case", PIPELINE_PLANS)
async def test_every_kind_of_pipeline_plan_is_valid(tmp_path: Path, case: str) -> None:
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(as_static(mesh(tmp_path).bootstrap(), "chain.pipeline", PIPELINE_PLANS[case])))
    code, output = await judge(config)
    assert code == 0, output


async def test_envoy_does_judge_routes(tmp_path: Path) -> None:
    """A check of the check: a route to a cluster that is not there is refused."""
    static = as_static(mesh(tmp_path).bootstrap(), "iris", PLANS["one copy"])
    clusters = static["static_resources"]["clusters"]
    static["static_resources"]["clusters"] = [entry for entry in clusters if entry["name"] != "iris_1_http"]
    config = tmp_path / "envoy.json"
    config.write_text(json.dumps(static))
    code, output = await judge(config)
    assert code != 0
    assert "iris_1_http" in output


def test_a_missing_binary_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with pytest.raises(RuntimeError, match=r"there is no .*/envoy: run `make setup`"):
        envoy_binary()
