"""The small `HealthCheckService` that sits on each of the scheduler's gRPC ports."""

from typing import Any

from mlops.health import health_pb2, health_pb2_grpc


class HealthService(health_pb2_grpc.HealthCheckServiceServicer):
    async def HealthCheck(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        """Answering is the check: steps run on the same loop."""
        return health_pb2.HealthCheckResponse(ok=True)
