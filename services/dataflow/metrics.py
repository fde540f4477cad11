"""What the dataflow engine counts. Served on its health port under /metrics."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

RECORDS_IN = Counter("seldon_dataflow_records_in", "Records that concerned a pipeline", ["pipeline"])
RECORDS_OUT = Counter("seldon_dataflow_records_out", "Records written for a pipeline", ["pipeline"])
IN_FLIGHT = Gauge("seldon_dataflow_requests_in_flight", "Requests that are not finished", ["pipeline", "version"])
PROBLEMS = Counter("seldon_dataflow_problems", "Records and requests that went wrong", ["kind"])
BATCH_RECORDS = Histogram(
    "seldon_dataflow_batch_records",
    "Records of one read, of all pipelines",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
BATCH_SECONDS = Histogram(
    "seldon_dataflow_batch_seconds",
    "Time from a read to the records that it causes being queued",
    buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1),
)
ACKNOWLEDGE_SECONDS = Histogram(
    "seldon_dataflow_acknowledge_seconds",
    "Time from the records of one decision being queued until Kafka has them",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
HELD_BYTES = Gauge("seldon_dataflow_held_bytes", "Bytes of records that requests in flight hold")
HELD_BACK = Gauge("seldon_dataflow_reading_paused", "1 while no further requests are let in because of a limit")
TIMES_HELD_BACK = Counter("seldon_dataflow_pauses", "How often a limit of requests in flight was reached")
OUTSTANDING = Gauge("seldon_dataflow_outstanding_records", "Records queued or sent and not acknowledged")
SEND_FAILURES = Counter("seldon_dataflow_send_failures", "Records that Kafka did not take", ["kind"])
COMMIT_FAILURES = Counter("seldon_dataflow_commit_failures", "Commits of offsets that Kafka refused")
VERSIONS = Gauge("seldon_dataflow_pipeline_versions", "Pipeline versions at work")
RESTARTS = Counter("seldon_dataflow_restarts", "Pipeline versions started again from their committed offsets")
