"""What a log line about one request says, so that it is found by the request's id and by its trace."""

from shared.names import HEADER_REQUEST_ID
from shared.tracing.context import Pairs, trace_id

_REQUEST_ID = (HEADER_REQUEST_ID, HEADER_REQUEST_ID.encode())


def of_request(headers: Pairs) -> dict[str, str]:
    """Fields `request_id` and `trace_id`, as far as the request's headers tell them."""
    pairs = list(headers)
    given = next((value for name, value in pairs if name in _REQUEST_ID), "")
    request_id = given if isinstance(given, str) else given.decode("latin-1")
    fields = {"request_id": request_id, "trace_id": trace_id(pairs)}
    return {name: value for name, value in fields.items() if value}
