"""What samples spans and sends them to an OTLP receiver: the SDK, which only processes that trace have use for."""

import asyncio
import logging
import threading
from typing import Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from shared.tracing.config import Enabled
from shared.version import VERSION

_FLUSH_SECONDS: Final = 1.0
_EXPORT_SECONDS: Final = 5.0


def provider(service: str, config: Enabled, instance: str) -> TracerProvider:
    """At most 2,048 spans wait for the receiver; what comes beyond is dropped."""
    # What is lost is an error; each attempt on the way there is not worth a line.
    logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
    about = {"service.name": service, "service.version": VERSION, "service.instance.id": instance or service}
    sampler = ParentBased(TraceIdRatioBased(config.ratio))
    made = TracerProvider(sampler, Resource(about), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"http://{config.endpoint}", insecure=True, timeout=_EXPORT_SECONDS)
    made.add_span_processor(BatchSpanProcessor(exporter))
    return made


async def close(made: TracerProvider) -> None:
    """Send what is left, for a second at most."""
    # A thread of its own: it may wait for a receiver longer than anybody waits for a process to end.
    flushing = threading.Thread(target=made.shutdown, name="last spans", daemon=True)
    flushing.start()
    await asyncio.to_thread(flushing.join, _FLUSH_SECONDS)
