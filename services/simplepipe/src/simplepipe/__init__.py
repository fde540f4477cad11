"""Metrics from data-science jobs into Prometheus, through a Pushgateway."""

from simplepipe.asynchronous import AsyncJob, AsyncMetricCollector
from simplepipe.collector import MetricCollector
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
from simplepipe.gateway import Tls
from simplepipe.job import Job
from simplepipe.metric import Metric, MetricType
from simplepipe.parsing import load_metrics_from_file, parse_metrics

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
