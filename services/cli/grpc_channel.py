"""Channels for short-lived calls, and gRPC errors as this tool words them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from services.cli.config_file import Tls
from shared.errors import InvalidInput
from shared.grpc_codes import camel_case

_OPTIONS: Final[Sequence[tuple[str, Any]]] = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # The addresses are those of the system itself; a proxy from the environment would not reach them.
    ("grpc.enable_http_proxy", 0),
)


def open_channel(host: str, authority: str, tls: Tls | None, options: Sequence[tuple[str, Any]] = ()) -> grpc.Channel:
    """A channel to `host` (host:port); `authority`, when not empty, is what the server sees as its name."""
    named = [("grpc.default_authority", authority)] if authority else []
    every = [*_OPTIONS, *named, *options]
    if tls is None:
        return grpc.insecure_channel(host, options=every)
    if tls.skip_verify:
        raise InvalidInput.of_field("dataplane.skipSSLVerify", True, "gRPC always verifies; give dataplane.caPath")
    credentials = grpc.ssl_channel_credentials(_pem(tls.ca_path), _pem(tls.key_path), _pem(tls.crt_path))
    return grpc.secure_channel(host, credentials, options=every)


def sentence(error: grpc.RpcError) -> str:
    code = error.code()
    return f"rpc error: code = {camel_case(code.name)} desc = {error.details()}"


def _pem(path: str) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(f"open {path}: {(error.strerror or str(error)).lower()}") from None
