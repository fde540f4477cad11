"""What every process is told about encryption between the processes of the control plane, which there is none of."""

from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator

from shared.foreign_settings import WithoutEffect
from shared.settings import ServiceSettings, setting

_NO_TLS: Final = "nothing is encrypted between the parts of this system: protect the network, and leave this "
_FILES: Final = "there is no TLS, so no certificates are read"

TLS_WITHOUT_EFFECT: Final = (
    WithoutEffect("", _FILES, "CONTROL_PLANE_CLIENT_TLS_*"),
    WithoutEffect("", _FILES, "CONTROL_PLANE_SERVER_TLS_*"),
    WithoutEffect("", _FILES, "ENVOY_UPSTREAM_*"),
    WithoutEffect("", _FILES, "ENVOY_DOWNSTREAM_*"),
)


def _only_plaintext(value: str) -> str:
    if value.upper() not in ("", "PLAINTEXT"):
        raise ValueError(f"{_NO_TLS}at PLAINTEXT")
    return value


def _must_be_allowed(value: bool) -> bool:
    if not value:
        raise ValueError(f"{_NO_TLS}true")
    return value


Plaintext: TypeAlias = Annotated[str, AfterValidator(_only_plaintext)]
PlaintextAllowed: TypeAlias = Annotated[bool, AfterValidator(_must_be_allowed)]


class ControlPlaneSettings(ServiceSettings):
    """Base of the settings of processes that talk to each other. Who asks for TLS is refused, not served without it."""

    control_plane_security_protocol: Plaintext = setting(
        "PLAINTEXT", "control-plane-security-protocol", "CONTROL_PLANE_SECURITY_PROTOCOL"
    )
    """How the parts talk to each other: PLAINTEXT, as nothing is encrypted between them."""
