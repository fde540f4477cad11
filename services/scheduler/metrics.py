"""What the scheduler counts. Served on its HTTP port under /metrics."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

LOADS_SENT = Counter("seldon_scheduler_loads_sent", "Load instructions sent to agents", ["server"])
UNLOADS_SENT = Counter("seldon_scheduler_unloads_sent", "Unload instructions sent to agents", ["server"])
AGENT_EVENTS = Counter("seldon_scheduler_agent_events", "Results reported by agents", ["event"])
AGENTS_CONNECTED = Gauge("seldon_scheduler_agents_connected", "Agents with a subscription")
UNPLACED_MODELS = Gauge("seldon_scheduler_unplaced_models", "Models that wait for a place")
MODEL_STATES = Counter(
    "seldon_scheduler_model_states", "Changes of the state of a model's latest version, by the new state", ["state"]
)
STEP_SECONDS = Histogram(
    "seldon_scheduler_step_seconds",
    "Time of one decision step",
    buckets=(0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1),
)
STORE_UNWRITTEN = Gauge(
    "seldon_scheduler_store_unwritten", "Models, servers and pipelines whose desired state is not on disk yet"
)
STORE_FAILURES = Counter("seldon_scheduler_store_failures", "Commits of desired state that failed")
ROUTE_UPDATE_SECONDS = Histogram(
    "seldon_scheduler_route_update_seconds",
    "Time from a changed route plan to the acknowledgement of every Envoy",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
ROUTE_PLANS_WAITING = Gauge(
    "seldon_scheduler_route_plans_waiting", "Changed route plans that wait until Envoys have those before them"
)
ROUTE_BATCH_PLANS = Histogram(
    "seldon_scheduler_route_batch_plans",
    "Route plans brought to Envoys at once",
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
)
XDS_CONNECTED = Gauge("seldon_scheduler_envoys_connected", "Envoys with a configuration stream")
XDS_RESPONSES = Counter("seldon_scheduler_xds_responses", "Configuration responses sent to Envoys", ["type"])
XDS_RESOURCES = Counter("seldon_scheduler_xds_resources", "Resources sent to Envoys or withdrawn", ["type"])
XDS_REFUSED = Counter("seldon_scheduler_xds_refused", "Configuration responses that an Envoy refused")
XDS_LATE = Counter("seldon_scheduler_envoys_late", "Envoys disconnected because they did not acknowledge in time")
XDS_BEHIND = Gauge(
    "seldon_scheduler_envoys_behind", "Envoys that are not waited for until they have caught up, because they were late"
)
SUBSCRIBERS_DROPPED = Counter("seldon_scheduler_subscribers_dropped", "Status subscribers dropped for being slow")
MEMBERS_CONNECTED = Gauge(
    "seldon_scheduler_members_connected", "Gateways and dataflow engines with a subscription", ["kind"]
)
INSTRUCTION_ROUNDS = Counter(
    "seldon_scheduler_instruction_rounds", "Rounds of instructions to gateways and dataflow engines", ["kind"]
)
INSTRUCTIONS = Counter(
    "seldon_scheduler_instructions", "Instructions sent to gateways and dataflow engines", ["kind", "operation"]
)
INSTRUCTION_RETRIES = Counter(
    "seldon_scheduler_instruction_retries", "Instructions sent again after a failure or without an answer", ["kind"]
)
PIPELINES = Gauge("seldon_scheduler_pipelines", "Pipelines by the dataflow status of their latest version", ["status"])
