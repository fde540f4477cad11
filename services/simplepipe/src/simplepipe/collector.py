"""Pushes metrics of jobs to a Pushgateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, TypeVar

import httpx

from simplepipe.core import requests
from simplepipe.core.exposition import instruments_of
from simplepipe.core.metric import Metric
from simplepipe.core.names import checked_grouping, checked_job
from simplepipe.core.parsing import parse_metrics
from simplepipe.files import load_metrics_from_file
from simplepipe.gateway import Gateway, Tls
from simplepipe.job import Job
from simplepipe.live import decorated
from simplepipe.sending import send

_Function = TypeVar("_Function", bound=Callable[..., Any])


class MetricCollector:
    """Pushes to the Pushgateway at `prometheus_push_gateway_ip`: `host:port` or a URL.

    `grouping_key` are labels that, with the job's name, say which group is replaced: pushes with other values leave it
    alone. A try takes `timeout` seconds at most, and none begins later than `deadline` seconds after the first.

    Every push is one request that the Pushgateway takes or refuses as a whole, and with a wrong metric there is none.
    """

    def __init__(
        self,
        prometheus_push_gateway_ip: str,
        *,
        grouping_key: Mapping[str, str] | None = None,
        basic_auth: tuple[str, str] | None = None,
        tls: Tls | None = None,
        timeout: float = 10.0,
        deadline: float = 10.0,
    ) -> None:
        self.gateway = Gateway(prometheus_push_gateway_ip, basic_auth, tls, timeout, deadline)
        self.grouping_key = checked_grouping(grouping_key or {})

    def load_and_push(self, fp: str | PathLike[str], job_name: str) -> None:
        """Push the metrics of a `.json` file. Raises InvalidFile, and as `push_to_gateway` does."""
        self.push_to_gateway(load_metrics_from_file(fp), job_name)

    def parse_and_push(self, metrics: Sequence[Any], job_name: str) -> None:
        """Push a list of dictionaries. Raises as `push_to_gateway` does."""
        self.push_to_gateway(parse_metrics(metrics), job_name)

    def push_to_gateway(self, metrics: Sequence[Metric], job_name: str) -> None:
        """Replace what the job's group holds by these metrics; other jobs and groups stay.

        Raises InvalidMetrics, InvalidArgument for the name, GatewayUnavailable and GatewayRefused.
        """
        instruments = instruments_of(metrics, self.grouping_key)
        self._send(requests.replace(self.gateway.url, checked_job(job_name), self.grouping_key, instruments))

    def delete(self, job_name: str) -> None:
        """Take the job's group out of the Pushgateway. Raises as `push_to_gateway` does."""
        self._send(requests.remove(self.gateway.url, checked_job(job_name), self.grouping_key))

    def job(
        self,
        job_name: str,
        *,
        grouping_key: Mapping[str, str] | None = None,
        every: float = 5.0,
        delete_on_finish: bool = False,
        lenient: bool = False,
    ) -> Job:
        """A run that goes on and pushes meanwhile, every `every` seconds; see Job.

        `grouping_key` adds to the collector's own. Raises InvalidArgument.
        """
        grouping = checked_grouping({**self.grouping_key, **(grouping_key or {})})
        return Job(self.gateway, job_name, grouping, every, delete_on_finish, lenient)

    def measure(self, job_name: str, **options: Any) -> Callable[[_Function], _Function]:
        """A decorator: every call of the function is a job, which shows its run time and how it ended.

        `options` are those of `job`.
        """
        return lambda function: decorated(function, lambda: self.job(job_name, **options))

    def _send(self, request: requests.Request) -> None:
        with httpx.Client(**self.gateway.client_options()) as client:
            send(client, self.gateway, request)
