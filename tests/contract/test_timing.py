"""Whoever waits for another is more patient than the other is with itself, and who says the same number still does."""

import re
from itertools import islice
from pathlib import Path

import pytest

from services.agent.control import scheduler_link as agent
from services.agent.settings import AgentSettings
from services.dataflow.control import scheduler_link as dataflow
from services.modelgateway import scheduler_link as model_gateway
from services.pipelinegateway import scheduler_link as pipeline_gateway
from services.scheduler.envoy.server import Patience
from shared import rpc, timing
from shared.delays import exponential
from shared.errors import InvalidInput
from shared.reporting import Delivery

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("service", [agent, dataflow, model_gateway, pipeline_gateway])
def test_an_instruction_is_repeated_when_its_outcome_cannot_be_on_its_way_any_more(service: object) -> None:
    delivery: Delivery = service._DELIVERY  # type: ignore[attr-defined]
    pauses = sum(islice(exponential(delivery.first_delay, timing.FIRST_REPEAT), delivery.attempts - 1))
    assert delivery.attempts * delivery.timeout + pauses < timing.FIRST_REPEAT


def test_repetitions_come_while_somebody_is_waited_for() -> None:
    assert timing.HAND_OVER < timing.FIRST_REPEAT < timing.LONGEST_REPEAT
    assert timing.FIRST_REPEAT < timing.MEMBER_PATIENCE
    assert timing.FIRST_REPEAT < timing.LET_GO_PATIENCE
    assert timing.LONGEST_REPEAT < timing.unload_patience() < timing.load_patience()


def test_the_scheduler_waits_longer_for_an_agent_than_the_agent_for_its_server() -> None:
    settings = AgentSettings.load([])
    load, unload = settings.max_load_elapsed_time_minutes * 60, settings.max_unload_elapsed_time_minutes * 60
    assert (load, unload) == (timing.AGENT_LOAD, timing.AGENT_UNLOAD)
    assert timing.load_patience() > load + unload + settings.unload_grace_period_seconds
    assert timing.unload_patience() > unload + settings.unload_grace_period_seconds
    assert timing.load_patience(10 * load, unload) > 10 * load + unload


def test_routes_are_offered_again_when_no_envoy_is_waited_for_any_more() -> None:
    patience = Patience()
    assert max(patience.answer, patience.absent) < timing.ROUTE_UNANSWERED


def test_a_deletion_is_remembered_longer_than_a_lost_agent_is_waited_for() -> None:
    assert timing.LOST_AGENT < timing.DELETED_KEPT


def test_a_silent_peer_is_noticed_before_its_grace_would_be_over() -> None:
    assert timing.KEEPALIVE_SECONDS + timing.KEEPALIVE_ANSWER_SECONDS <= timing.LOST_AGENT
    assert timing.KEEPALIVE_ANSWER_SECONDS < timing.KEEPALIVE_SECONDS


def test_no_server_hangs_up_on_who_asks_as_often_as_our_clients_do() -> None:
    assert timing.SHORTEST_PING_SECONDS < timing.KEEPALIVE_SECONDS
    assert timing.FOREIGN_KEEPALIVE_SECONDS > 300


def test_envoy_asks_the_scheduler_as_often_as_everybody() -> None:
    bootstrap = (ROOT / "compose/envoy/envoy.yaml").read_text()
    found = re.search(r"connection_keepalive: \{interval: (\d+)s, timeout: (\d+)s\}", bootstrap)
    assert found is not None
    assert [float(number) for number in found.groups()] == [timing.KEEPALIVE_SECONDS, timing.KEEPALIVE_ANSWER_SECONDS]


def test_envoy_closes_idle_connections_before_their_servers_do() -> None:
    assert timing.IDLE_SECONDS < timing.SERVERS_IDLE_SECONDS


def test_who_comes_back_within_the_wait_is_found_again() -> None:
    assert timing.EJECTION_SECONDS <= timing.LONGEST_EJECTION_SECONDS <= timing.RETRY_SECONDS
    assert timing.CONNECT_SECONDS < timing.RETRY_SECONDS


@pytest.mark.parametrize("given", ["soon", "0", "-1", "nan", "1e9"])
def test_a_wrong_keepalive_names_its_variable(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("GRPC_KEEPALIVE_SECONDS", given)
    with pytest.raises(InvalidInput, match=r"invalid GRPC_KEEPALIVE_SECONDS '.*': seconds from 0.05 to 7200"):
        rpc.client_options()


def test_a_server_permits_what_clients_of_the_same_setting_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in ("0.5", "20", "600"):
        monkeypatch.setenv("GRPC_KEEPALIVE_SECONDS", seconds)
        asked, permitted = dict(rpc.client_options()), dict(rpc.server_options())
        assert permitted["grpc.http2.min_ping_interval_without_data_ms"] < asked["grpc.keepalive_time_ms"]
