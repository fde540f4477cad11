"""gRPC metadata that an agent sends with Subscribe, beside the message: where its inference server itself listens, and
how long it may take for an answer."""

from typing import Final

INFERENCE_HTTP: Final = "seldon-inference-http"
"""`<host>:<port>` of the inference server's REST port, so that requests need not pass through the agent."""
INFERENCE_GRPC: Final = "seldon-inference-grpc"
"""`<host>:<port>` of the inference server's gRPC port."""
LOAD_SECONDS: Final = "seldon-load-seconds"
"""What the agent allows one load as a whole: the scheduler waits longer than that for its outcome."""
UNLOAD_SECONDS: Final = "seldon-unload-seconds"
"""The same for one unload."""
SERVER_TYPE: Final = "seldon-server-type"
"""`mlserver` or `triton`."""
