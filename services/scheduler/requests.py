"""What every call of the `Scheduler` service asks of its request."""

from shared.errors import RejectedRequest


def required(value: str, field: str) -> str:
    """The value of a field that names a resource. Raises RejectedRequest when it is empty."""
    if not value:
        raise RejectedRequest(f"request has no {field}: name the resource")
    return value
