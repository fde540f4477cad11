"""Whoever waits for another is more patient than the other is with itself."""

from itertools import islice

import pytest

from services.agent.control import scheduler_link as agent
from services.agent.settings import AgentSettings
from services.dataflow.control import scheduler_link as dataflow
from services.modelgateway import scheduler_link as model_gateway
from services.pipelinegateway import scheduler_link as pipeline_gateway
from services.scheduler.envoy.server import ABSENT_GRACE, ACK_DEADLINE
from shared import timing
from shared.backoff import exponential
from shared.reporting import Delivery


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
    assert ABSENT_GRACE < timing.ROUTE_UNANSWERED
    assert ACK_DEADLINE < timing.ROUTE_UNANSWERED


def test_a_deletion_is_remembered_longer_than_a_lost_agent_is_waited_for() -> None:
    assert timing.LOST_AGENT < timing.DELETED_KEPT
