"""Who this agent is: server name, replica index and the configuration it registers with."""

import ipaddress
from dataclasses import dataclass

from google.protobuf import json_format
from mlops.agent import agent_pb2

from services.agent.settings import AgentSettings
from shared.errors import InvalidInput
from shared.fnv import fnv1a_32

_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Identity:
    server_name: str
    replica_index: int
    advertised_host: str
    """Where other processes reach the agent's own ports."""


def identify(settings: AgentSettings) -> Identity:
    """Name and index from the flags when both are given, else from the pod's name, else flags and defaults.

    Raises InvalidInput when a pod name does not end in what is needed.
    """
    name, index = settings.server_name, settings.server_idx
    if name is not None and index is not None:
        return Identity(name, index, _advertised(settings))
    if not settings.pod_name:
        return Identity(
            name if name is not None else "mlserver", index if index is not None else 0, _advertised(settings)
        )
    if settings.use_deployments_for_servers:
        server, *parts = settings.pod_name.rsplit("-", 2)
        if len(parts) != 2:
            raise InvalidInput.of_field("POD_NAME", settings.pod_name, "a deployment's pod is <server>-<hash>-<id>")
        return Identity(server, fnv1a_32("-".join(parts)), _advertised(settings))
    server, _, ordinal = settings.pod_name.rpartition("-")
    if not server or not ordinal.isascii() or not ordinal.isdecimal():
        raise InvalidInput.of_field(
            "POD_NAME", settings.pod_name, "write <server>-<index>, or give --server-name and --server-idx"
        )
    return Identity(server, int(ordinal), _advertised(settings))


def _advertised(settings: AgentSettings) -> str:
    pod = settings.pod_ip if settings.use_deployments_for_servers else settings.pod_name
    return reachable(pod or settings.agent_host)


def reachable(host: str) -> str:
    """An address to connect to: the wildcard address, which is for listening only, becomes this machine's own."""
    return _LOOPBACK if host in ("0.0.0.0", "::", "") else host


def listen_host(agent_host: str) -> str:
    """Loopback stays loopback; anything else listens everywhere, since the advertised name may be a name outside."""
    if agent_host == "localhost":
        return _LOOPBACK
    try:
        return agent_host if ipaddress.ip_address(agent_host).is_loopback else "0.0.0.0"
    except ValueError:
        return "0.0.0.0"


def replica_config(settings: AgentSettings, identity: Identity) -> agent_pb2.ReplicaConfig:
    """From the JSON setting when given, else from single settings; the ports are always those of the reverse proxy.

    Raises InvalidInput for JSON that is not a ReplicaConfig.
    """
    config = agent_pb2.ReplicaConfig()
    if settings.replica_config:
        try:
            json_format.Parse(settings.replica_config, config)
        except json_format.ParseError as error:
            raise InvalidInput.of_field(
                "replica-config",
                settings.replica_config,
                f"write a JSON object with the fields of ReplicaConfig ({error})",
            ) from None
    else:
        config.memoryBytes = settings.memory_bytes
        config.capabilities.extend(settings.capability_list)
        config.overCommitPercentage = settings.over_commit_percentage
    config.inferenceSvc = config.inferenceSvc or identity.advertised_host
    config.inferenceHttpPort = settings.reverse_proxy_http_port
    config.inferenceGrpcPort = settings.reverse_proxy_grpc_port
    return config
