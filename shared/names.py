"""Names of resources and headers, and the rules they follow (one definition for every service)."""

import re
from typing import Final

from shared.errors import RejectedRequest

HEADER_MODEL: Final = "seldon-model"
"""What a client asks for: `<model>`, `<pipeline>.pipeline` or `<experiment>.experiment`."""
HEADER_INTERNAL_MODEL: Final = "seldon-internal-model"
"""What Envoy chose: `<model>_<version>`."""
HEADER_COUNTED: Final = "x-seldon-counted"
"""Envoy sets it on requests to models: it counts them, so an agent that they pass through does not."""
HEADER_ELSEWHERE: Final = "x-seldon-elsewhere"
"""Envoy sets it on requests that other replicas can answer, too; an agent whose server is down sets it on its refusal,
and Envoy asks another one."""
HEADER_FINAL: Final = "x-envoy-ratelimited"
"""Agents set it on answers that Envoy would else try again, as of a model that is really unknown: to Envoy its presence
means that there is to be no retry."""
HEADER_ROUTE: Final = "x-seldon-route"
"""On answers: `:<model>_<version>:`."""
HEADER_REQUEST_ID: Final = "x-request-id"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_NAME_LENGTH: Final = 253


def validate_name(kind: str, name: str) -> None:
    """Raise RejectedRequest unless `name` is lower-case letters, digits and inner hyphens.

    No underscore: `<model>_<version>` must split in one way only.
    """
    if len(name) > _MAX_NAME_LENGTH or _NAME.fullmatch(name) is None:
        raise RejectedRequest(
            f"{kind} does not have a valid name {name!r}: use lower-case letters, digits and '-', "
            f"starting and ending with a letter or digit, at most {_MAX_NAME_LENGTH} characters"
        )


def internal_name(model: str, version: int) -> str:
    """The name of one version on an inference server, e.g. `iris_1`."""
    return f"{model}_{version}"


def split_internal_name(internal: str) -> tuple[str, int] | None:
    """Inverse of `internal_name`; None when the text was not made by it."""
    model, separator, version = internal.rpartition("_")
    if not separator or not model or not version.isascii() or not version.isdecimal():
        return None
    return model, int(version)
