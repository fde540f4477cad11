"""The agent's Prometheus metrics about its models and memory, under their documented names."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from services.agent.asgi import Receive, Scope, Send, respond

_LABELS = ("server", "server_replica")


class _PlainCounters:
    """Counters whose names do not end in `_total`. The client library can neither keep nor print such, so this does."""

    def __init__(self, helps: dict[str, str], labels: dict[str, str]) -> None:
        self._helps = helps
        self._labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        self._values = dict.fromkeys(helps, 0)

    def increment(self, name: str) -> None:
        self._values[name] += 1

    def text(self) -> str:
        """Prometheus text format."""
        return "".join(
            f"# HELP {name} {text}\n# TYPE {name} counter\n{name}{{{self._labels}}} {self._values[name]}\n"
            for name, text in self._helps.items()
        )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class AgentMetrics:
    """One replica's metrics in a registry of their own."""

    def __init__(self, server: str, replica_index: int, memory_bytes: int, over_commit_percentage: int) -> None:
        self._values = {"server": server, "server_replica": str(replica_index)}
        self.registry = CollectorRegistry()
        self._counters = _PlainCounters(
            {
                "seldon_cache_evict_count": "A count of model cache evict",
                "seldon_cache_miss_count": "A count of model cache miss",
                "seldon_load_model_counter": "A count of model load",
                "seldon_unload_model_counter": "A count of model unload",
            },
            self._values,
        )
        self._models = self._gauge(
            "seldon_loaded_model_gauge", "A gauge of models loaded in the system", "model_internal"
        )
        self._memory = self._gauge(
            "seldon_loaded_model_memory_bytes_gauge", "A gauge of memory of models in main memory", "model_internal"
        )
        self._evicted = self._gauge(
            "seldon_evicted_model_memory_bytes_gauge", "A gauge of memory of models evicted to disk", "model_internal"
        )
        capacity = self._gauge(
            "seldon_server_replica_memory_capacity_bytes_gauge", "A gauge of main memory of the replica"
        )
        capacity.labels(**self._values).set(memory_bytes)
        with_overcommit = self._gauge(
            "seldon_server_replica_memory_capacity_overcommit_bytes_gauge",
            "A gauge of main memory of the replica with its over-commit share",
        )
        with_overcommit.labels(**self._values).set(memory_bytes * (100 + over_commit_percentage) / 100)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, [*_LABELS, *labels], registry=self.registry)

    def loaded(self, internal: str, memory_bytes: int) -> None:
        """A model was loaded for the first time."""
        self._counters.increment("seldon_load_model_counter")
        self.held(internal, memory_bytes)

    def held(self, internal: str, memory_bytes: int) -> None:
        self._set(internal, registered=1, memory_bytes=memory_bytes)

    def unloaded(self, internal: str) -> None:
        """A model was unloaded for good."""
        self._counters.increment("seldon_unload_model_counter")
        self._set(internal, registered=0, memory_bytes=0)

    def _set(self, internal: str, registered: int, memory_bytes: int) -> None:
        labels = {**self._values, "model_internal": internal}
        self._models.labels(**labels).set(registered)
        self._memory.labels(**labels).set(memory_bytes)
        self._evicted.labels(**labels).set(0)

    def text(self) -> bytes:
        """Everything in Prometheus text format."""
        return self._counters.text().encode() + generate_latest(self.registry)


class MetricsApp:
    """ASGI app with `/metrics`."""

    def __init__(self, metrics: AgentMetrics) -> None:
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != "/metrics":
            await respond(send, 404, b"not found: see /metrics\n", b"text/plain")
            return
        await respond(send, 200, self._metrics.text(), CONTENT_TYPE_LATEST.encode())
