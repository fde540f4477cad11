"""gRPC metadata that an agent sends with Subscribe, beside the message: where its inference server itself listens."""

from typing import Final

INFERENCE_HTTP: Final = "seldon-inference-http"
"""`<host>:<port>` of the inference server's REST port, so that requests need not pass through the agent."""
INFERENCE_GRPC: Final = "seldon-inference-grpc"
"""`<host>:<port>` of the inference server's gRPC port."""
SERVER_TYPE: Final = "seldon-server-type"
"""`mlserver` or `triton`."""
