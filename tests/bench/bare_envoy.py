"""An Envoy with a listener, a router and nothing else: the least that any way through Envoy costs on this machine."""

import contextlib
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.peers.mesh import envoy_binary, envoy_environment
from tests.peers.ports import free_port

_BOOTSTRAP = """
static_resources:
  clusters:
  - name: server
    type: STATIC
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {server}}}}}}}
  listeners:
  - name: bare
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bare
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: server}}}}]}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""
_START_SECONDS = 20


@contextlib.contextmanager
def bare_envoy(server_port: int) -> Iterator[int]:
    """Yields the port; everything goes to `server_port` of this machine as it is."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        bootstrap = Path(folder) / "bare.yaml"
        bootstrap.write_text(_BOOTSTRAP.format(server=server_port, port=port))
        command = [envoy_binary(), "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
        process = subprocess.Popen(command, env=envoy_environment(), stderr=subprocess.DEVNULL)
        try:
            _wait(f"http://127.0.0.1:{port}/v2/health/live")
            yield port
        finally:
            process.terminate()
            process.wait()


def _wait(url: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with opener.open(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} did not answer within {_START_SECONDS} s") from None
            time.sleep(0.05)
