"""What an inference server's answers mean, for MLServer and Triton alike."""

import json

_NOT_LOADED_PHRASES = ("unknown model", "not found", "is not ready", "version not ready", "no available versions")
_TRACE_LINES = ("at:", "traceback", "stack")


def rest_says_not_loaded(status: int, body: bytes, internal: str) -> bool:
    """Whether a REST answer means that the server does not hold the model, as against an error of the request."""
    if status not in (400, 404):
        return False
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return False
    if not isinstance(error, str):
        return False
    said = error.lower()
    # Triton's readiness answer does not repeat the name.
    return any(phrase in said for phrase in _NOT_LOADED_PHRASES) and (
        internal in said or said == "model version not ready"
    )


def grpc_says_not_loaded(code: str, details: str) -> bool:
    """The same for a gRPC status, given by name. MLServer's ModelReady names its exception under UNKNOWN."""
    return code == "NOT_FOUND" or (code == "UNKNOWN" and "ModelNotFound" in details)


def is_passing(code: str) -> bool:
    """Whether the same call may well succeed later, with nothing changed about the model."""
    return code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED")


def cause(details: str) -> str:
    """The sentence inside an error's details, without the stack that may follow."""
    lines = []
    for line in details.strip().splitlines():
        if line.strip().lower().startswith(_TRACE_LINES):
            break
        if line.strip():
            lines.append(line.strip())
    return " ".join(lines).rstrip(" ;") or "no reason given"


def index_state(state: str) -> str:
    """A repository state by its plain name: MLServer writes `State.READY` for `READY`."""
    return state.rpartition(".")[2]
