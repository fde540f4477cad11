"""Where the certificates are when the control plane is encrypted."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.hodometer.core.variables import Problem, Variables

_PROTOCOL: Final = "CONTROL_PLANE_SECURITY_PROTOCOL"
_KEY: Final = "CONTROL_PLANE_CLIENT_TLS_KEY_LOCATION"
_CERTIFICATE: Final = "CONTROL_PLANE_CLIENT_TLS_CRT_LOCATION"
_OWN_AUTHORITY: Final = "CONTROL_PLANE_CLIENT_TLS_CA_LOCATION"
_SERVER_AUTHORITY: Final = "CONTROL_PLANE_SERVER_TLS_CA_LOCATION"


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: our own key and certificate, and the authority that the scheduler's certificate is checked with."""

    key: Path
    certificate: Path
    authority: Path


def tls_settings(variables: Variables) -> Tls | None:
    """None when encryption is not asked for. The server's authority, when given, wins over our own."""
    protocol = variables.text(_PROTOCOL, "PLAINTEXT")
    if protocol.upper() == "PLAINTEXT":
        return None
    if protocol.upper() != "SSL":
        message = f"protocol {protocol} not recognised"
        variables.problems.append(Problem(_PROTOCOL, message, "use PLAINTEXT or SSL"))
        return None
    authority = _SERVER_AUTHORITY if variables.text(_SERVER_AUTHORITY) else _OWN_AUTHORITY
    return Tls(_file(variables, _KEY), _file(variables, _CERTIFICATE), _file(variables, authority))


def _file(variables: Variables, name: str) -> Path:
    if not variables.text(name):
        variables.problems.append(Problem(name, "value not set", f"set it to a PEM file, or {_PROTOCOL} to PLAINTEXT"))
    return Path(variables.text(name))
