"""Metrics from data-science jobs into Prometheus, through a Pushgateway."""

from simplepipe.asynchronous import AsyncJob, AsyncMetricCollector
from simplepipe.collector import MetricCollector
from simplepipe.core.metric import Metric, MetricType
from simplepipe.core.parsing import parse_metrics
from simplepipe.errors import (
    GatewayRefused,
    GatewayUnavailable,
    InvalidArgument,
    InvalidFile,
    InvalidMetrics,
    JobInUse,
    Problem,
    SimplepipeError,
)
from simplepipe.files import load_metrics_from_file
from simplepipe.gateway import Tls
from simplepipe.job import Job

__all__ = [
    "AsyncJob",
    "AsyncMetricCollector",
    "GatewayRefused",
    "GatewayUnavailable",
    "InvalidArgument",
    "InvalidFile",
    "InvalidMetrics",
    "Job",
    "JobInUse",
    "Metric",
    "MetricCollector",
    "MetricType",
    "Problem",
    "SimplepipeError",
    "Tls",
    "load_metrics_from_file",
    "parse_metrics",
]
