"""The page with the models' own metrics: served by MLServer's main process, and told by its workers.

Workers send what a call reported as one datagram over a socket that only this user may write to.
"""

import json
import logging
import multiprocessing
import os
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, start_http_server

from .series import WORKER, BadMetric, Entry, Series

_HOST: Final = "SELDON_V1_METRICS_HOST"
_PORT: Final = "SELDON_V1_METRICS_PORT"
_SOCKET: Final = "SELDON_V1_METRICS_SOCKET"
"""Environment variables; the last is made by the main process for its workers."""
_LARGEST: Final = 1 << 20
_log = logging.getLogger("seldon_v1")


class _Metrics:
    """Of this process; MLServer loads the runtime's own module anew with every model, so that it cannot be there."""

    def __init__(self) -> None:
        self.series = Series()
        self.lock = threading.Lock()
        self.sender: socket.socket | None = None

    def collect(self) -> Any:
        with self.lock:
            return list(self.series.collect())


_METRICS: Final = _Metrics()


def open_page() -> None:
    """Serve the page and hear from workers. Ends the process when the port is taken or not named."""
    host, port = os.environ.get(_HOST, "127.0.0.1"), os.environ.get(_PORT, "6000")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_METRICS)
    try:
        start_http_server(int(port), host, registry)
    except (OSError, ValueError) as error:
        sys.exit(f"seldon_v1: no metrics on {host}:{port}, check {_PORT}: {error}")
    folder = Path(tempfile.mkdtemp(prefix="seldon-v1-"))
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(folder / "metrics"))
    os.environ[_SOCKET] = str(folder / "metrics")
    threading.Thread(target=_listen, args=(heard,), name="metrics-of-workers", daemon=True).start()


def report(labels: dict[str, str], entries: list[Entry]) -> None:
    """Add what a call of this process's model reported. Raises BadMetric, and then nothing is added."""
    labels = {**labels, WORKER: str(os.getpid())}
    with _METRICS.lock:
        if multiprocessing.parent_process() is None:
            _METRICS.series.add(labels, entries)
            return
        # Kept here as well, to know at once when a metric changes its type.
        _METRICS.series.add(labels, entries)
        _tell(labels, entries)


def _tell(labels: dict[str, str], entries: list[Entry]) -> None:
    address = os.environ.get(_SOCKET)
    if not address:
        return
    if _METRICS.sender is None:
        _METRICS.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    message = json.dumps([labels, [[each.type, each.key, each.value, each.tags] for each in entries]])
    try:
        _METRICS.sender.sendto(message.encode(), address)
    except OSError as error:
        _log.warning("the metrics of a call are lost: %s", error)


def _listen(heard: socket.socket) -> None:
    while True:
        labels, told = json.loads(heard.recv(_LARGEST))
        entries = [Entry(kind, key, value, tuple((n, v) for n, v in tags)) for kind, key, value, tags in told]
        try:
            with _METRICS.lock:
                _METRICS.series.add(labels, entries)
        except BadMetric as error:
            _log.warning("the metrics of a call are lost: %s", error)
