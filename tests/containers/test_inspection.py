"""Rows of the status from what Docker says."""

from datetime import UTC, datetime
from typing import Any

from compose.containers.inspection import rows

NOW = datetime(2026, 1, 2, 3, 5, tzinfo=UTC)


def container(service: str, number: int = 1, policy: str = "unless-stopped", **state: Any) -> dict[str, Any]:
    return {
        "Config": {
            "Labels": {
                "com.docker.compose.service": service,
                "com.docker.compose.container-number": str(number),
                "com.docker.compose.oneoff": "False",
            }
        },
        "HostConfig": {"RestartPolicy": {"Name": policy}},
        "NetworkSettings": {"Ports": {"9000/tcp": [{"HostIp": "127.0.0.1", "HostPort": "9000"}], "9901/tcp": None}},
        "State": {"Status": "running", "Pid": 7, "ExitCode": 0, "StartedAt": "2026-01-02T03:04:05.123456789Z", **state},
    }


def health(status: str, output: str = "") -> dict[str, Any]:
    return {"Status": status, "Log": [{"Output": output}]}


def test_a_healthy_container_is_ready() -> None:
    (row,) = rows(["envoy"], [container("envoy", Health=health("healthy"))], NOW)
    assert (row.part, row.ready, row.pid, row.ports, row.uptime_seconds) == ("envoy", True, 7, (9000,), 55)


def test_one_that_is_not_says_what_it_waits_for() -> None:
    answer = '{"service": "dataflow", "waiting_for": {"kafka": "not connected"}}'
    (row,) = rows(["dataflow"], [container("dataflow", Health=health("unhealthy", answer))], NOW)
    assert (row.ready, row.waits_for) == (False, "kafka (not connected)")
    (row,) = rows(["dataflow"], [container("dataflow", Health={"Status": "starting"})], NOW)
    assert (row.ready, row.waits_for) == (False, "its health check")


def test_one_without_a_port_is_ready_while_it_runs() -> None:
    (row,) = rows(["hodometer"], [container("hodometer")], NOW)
    assert row.ready
    (row,) = rows(["hodometer"], [container("hodometer", Status="restarting", Pid=0, ExitCode=2)], NOW)
    assert (row.ready, row.pid, row.waits_for) == (False, 0, "its next start; it ended with status 2")


def test_one_that_works_once_is_ready_when_it_has_ended_well() -> None:
    for code, ready in ((0, True), (1, False)):
        (row,) = rows(["samples"], [container("samples", policy="no", Status="exited", Pid=0, ExitCode=code)], NOW)
        assert row.ready == ready
    (row,) = rows(["samples"], [container("samples", policy="no")], NOW)
    assert not row.ready


def test_replicas_are_counted_and_absent_services_are_shown() -> None:
    made = [container("modelgateway"), container("modelgateway-more", 1), container("modelgateway-more", 2)]
    found = rows(["modelgateway", "modelgateway-more", "dataflow", "dataflow-more"], made, NOW)
    assert [(row.part, row.ready) for row in found] == [
        ("dataflow", False), ("modelgateway", True), ("modelgateway-1", True), ("modelgateway-2", True),
    ]  # fmt: skip
