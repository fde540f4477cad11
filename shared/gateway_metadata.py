"""What a pipeline gateway tells the scheduler beside its subscription, as gRPC metadata: the ports it listens on.

A gateway that does not tell listens on the ports that the scheduler's settings name.
"""

from typing import Final

HTTP_PORT: Final = "seldon-pipelinegateway-http-port"
GRPC_PORT: Final = "seldon-pipelinegateway-grpc-port"
