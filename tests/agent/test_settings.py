"""The agent's documented flags and variables, and who it takes itself for."""

import pytest

from services.agent.identity import identify, listen_host, reachable, replica_config
from services.agent.settings import AgentSettings
from shared.errors import InvalidInput
from shared.fnv import fnv1a_32


def test_a_flag_beats_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELDON_SCHEDULER_PORT", "1")
    monkeypatch.setenv("MEMORY_REQUEST", "123")
    settings = AgentSettings.load(["--scheduler-port=2", "--server-type", "triton"])
    assert (settings.scheduler_port, settings.memory_bytes, settings.server_type) == (2, 123, "triton")


def test_documented_defaults() -> None:
    settings = AgentSettings.load([])
    ports = (settings.scheduler_port, settings.inference_http_port, settings.inference_grpc_port, settings.metrics_port)
    assert ports == (9005, 8080, 9500, 9006)
    proxies = (settings.reverse_proxy_http_port, settings.reverse_proxy_grpc_port, settings.debug_grpc_port)
    assert proxies == (9999, 9998, 7777)
    assert settings.capability_list == ["sklearn", "xgboost"]


@pytest.mark.parametrize("arguments", [["--memory-bytes=lots"], ["--metrics-port=99999"], ["--log-level=loud"]])
def test_a_wrong_setting_ends_the_start_with_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        AgentSettings.load(arguments)
    assert ended.value.code == 2
    assert arguments[0].split("=")[0].removeprefix("--") in capsys.readouterr().err


def test_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    given = identify(AgentSettings.load(["--server-name=a", "--server-idx=3"]))
    assert (given.server_name, given.replica_index, given.advertised_host) == ("a", 3, "127.0.0.1")
    monkeypatch.setenv("POD_NAME", "my-server-2")
    pod = identify(AgentSettings.load([]))
    assert (pod.server_name, pod.replica_index, pod.advertised_host) == ("my-server", 2, "my-server-2")
    monkeypatch.setenv("POD_NAME", "my-server-abc-def")
    monkeypatch.setenv("POD_IP", "10.0.0.1")
    deployment = identify(AgentSettings.load(["--use-deployments-for-servers"]))
    assert (deployment.server_name, deployment.replica_index) == ("my-server", fnv1a_32("abc-def"))
    assert deployment.advertised_host == "10.0.0.1"
    with pytest.raises(InvalidInput, match="POD_NAME"):
        identify(AgentSettings.load([]))


def test_the_known_hash() -> None:
    # Published test vectors of FNV-1a.
    assert (fnv1a_32(""), fnv1a_32("a"), fnv1a_32("foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)


def test_replica_config_from_json_keeps_the_proxy_ports() -> None:
    text = '{"memoryBytes": "77", "capabilities": ["x"], "inferenceHttpPort": 1}'
    settings = AgentSettings.load([f"--replica-config={text}"])
    config = replica_config(settings, identify(settings))
    assert (config.memoryBytes, list(config.capabilities)) == (77, ["x"])
    assert (config.inferenceHttpPort, config.inferenceGrpcPort) == (9999, 9998)
    with pytest.raises(InvalidInput, match="replica-config"):
        replica_config(AgentSettings.load(["--replica-config={"]), identify(settings))


def test_addresses_to_listen_on_and_to_connect_to() -> None:
    assert [listen_host(host) for host in ("127.0.0.1", "localhost", "agent-1", "10.0.0.1")] == [
        "127.0.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "0.0.0.0",
    ]
    assert [reachable(host) for host in ("0.0.0.0", "agent-1")] == ["127.0.0.1", "agent-1"]
