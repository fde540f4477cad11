"""What is sent to a Pushgateway. Pure: prometheus-client makes the requests, and they are kept instead of sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import delete_from_gateway, push_to_gateway
from prometheus_client.registry import Collector

from simplepipe.core.exposition import Together


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def replace(gateway: str, job: str, grouping: Mapping[str, str], *collectors: Collector) -> Request:
    """PUT: the group then holds what these show, and nothing else."""
    collector: Any = Together(*collectors)
    return _kept(lambda keep: push_to_gateway(gateway, job, collector, dict(grouping), handler=keep))


def remove(gateway: str, job: str, grouping: Mapping[str, str]) -> Request:
    """DELETE of the group."""
    return _kept(lambda keep: delete_from_gateway(gateway, job, dict(grouping), handler=keep))


def everything(gateway: str) -> Request:
    """GET of all groups with their metrics, as JSON."""
    return Request("GET", f"{gateway}/api/v1/metrics")


def _kept(make: Callable[[Callable[..., Callable[[], None]]], None]) -> Request:
    kept: list[Request] = []

    def keep(
        url: str, method: str, timeout: float | None, headers: list[tuple[str, str]], data: bytes
    ) -> Callable[[], None]:
        return lambda: kept.append(Request(method, url, tuple(headers), data))

    make(keep)
    (request,) = kept
    return request
