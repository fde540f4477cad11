"""Settings of our services: flags, and the variables that are documented, no others."""

import pytest

from services.modelgateway.settings import ModelGatewaySettings
from services.scheduler.settings import SchedulerSettings


def test_a_variable_named_like_a_flag_means_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "a-shell-set-this")
    assert SchedulerSettings.load([]).host == "0.0.0.0"


def test_the_documented_variable_and_the_flag_which_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_SCHEDULER_PORT", "1004")
    assert ModelGatewaySettings.load([]).scheduler_port == 1004
    assert ModelGatewaySettings.load(["--scheduler-plaintxt-port", "2004"]).scheduler_port == 2004
