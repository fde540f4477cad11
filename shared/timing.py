"""Which timing must be longer than which: the limits that two parts rely on, in one place. All in seconds.

A part that waits for another one has to be more patient than the other is with itself, else it gives up on work that
is still going well. `tests/contract/test_timing.py` holds the order.
"""

from typing import Final

# -- an outcome on its way from an agent to the scheduler --------------------------------------------------------

REPORT_ATTEMPTS: Final = 4
REPORT_TIMEOUT: Final = 10.0
"""For one attempt of a peer at telling the scheduler what came of an instruction."""

# -- instructions of the scheduler to agents, gateways and dataflow engines --------------------------------------

FIRST_REPEAT: Final = 120.0
"""An instruction without an answer is sent again after this time, which then doubles up to `LONGEST_REPEAT`, for ever.

Longer than any report takes on its way: what is repeated was lost, or is still being worked on.
"""
LONGEST_REPEAT: Final = 600.0

HAND_OVER: Final = 15.0
"""How long a gateway or engine may take to let go of what others are to take over."""
MEMBER_PATIENCE: Final = 600.0
"""A gateway or engine that has answered nothing for so long is passed over: others run the resource instead of it."""
LET_GO_PATIENCE: Final = 600.0
"""What a member that was told to stop has not let go of by then is not waited for any more."""

# -- an agent and the scheduler ----------------------------------------------------------------------------------

AGENT_LOAD: Final = 120 * 60.0
"""What agents allow one load as a whole, unless told otherwise: download, attempts, and waiting for the server."""
AGENT_UNLOAD: Final = 15 * 60.0
"""What agents allow one unload, unless told otherwise."""
ANSWER_MARGIN: Final = 10 * 60.0
"""What the scheduler waits beyond the agent's own deadline, for the report and for what was still in the way."""

LOST_AGENT: Final = 30.0
"""That a replica whose agent went away keeps its models: a restarted agent takes over what its server holds."""

# -- the scheduler and Envoy -------------------------------------------------------------------------------------

ROUTE_REFUSED: Final = 30.0
"""Until routes that an Envoy refused are offered again: another Envoy may have taken its place."""
ROUTE_UNANSWERED: Final = 120.0
"""Until routes are offered again that nobody has taken or refused; no Envoy is waited for that long."""

# -- what was deleted --------------------------------------------------------------------------------------------

DELETED_KEPT: Final = 86_400.0
"""That a deleted model or pipeline can still be asked about."""

# -- Peers that fall silent ------------------------------------------------------------------------------------------
# A machine without power, or a network that swallows everything, closes no connection: only an answer that does not
# come tells. All of our own peers ask each other, in both directions.

KEEPALIVE_SECONDS: Final = 20.0
"""Between two questions on a connection; also Envoy's to the scheduler, in its bootstrap."""
KEEPALIVE_ANSWER_SECONDS: Final = 10.0
"""For the answer; together with the time between two, what a silent peer can go unnoticed. Below the grace that a lost
replica has, so that a silent one is not kept for twice that."""
SHORTEST_PING_SECONDS: Final = 5.0
"""Servers take a client that asks more often for a broken one and hang up."""
FOREIGN_KEEPALIVE_SECONDS: Final = 310.0
"""To inference servers: gRPC libraries hang up on who asks more often than every 300 s during a long call, and these
servers do not let that be changed."""

# -- Upstreams of Envoy ----------------------------------------------------------------------------------------------

CONNECT_SECONDS: Final = 1.0
"""A connection that takes longer is given up, and the request goes to another endpoint."""
IDLE_SECONDS: Final = 4.0
"""Envoy closes idle connections to upstreams, before these do."""
SERVERS_IDLE_SECONDS: Final = 5.0
"""After so long uvicorn (MLServer, our own services) closes an idle connection, and a request that meets this fails."""
UNACKNOWLEDGED_SECONDS: Final = 20.0
"""The kernel gives up a connection whose bytes nobody confirms: what tells Envoy of an HTTP/1.1 upstream whose machine
is gone. Says nothing against a server that works for hours on what it has."""
SILENT_UPSTREAM_SECONDS: Final = 10.0
"""For the answer to Envoy's question before a request on a connection that was quiet."""
QUIET_SECONDS: Final = 1.0
"""After which a connection counts as quiet."""
EJECTION_SECONDS: Final = 1.0
"""An endpoint that failed is left out for so long, and longer each time."""
LONGEST_EJECTION_SECONDS: Final = 4.0
EJECTION_LOOK_SECONDS: Final = 1.0
"""Between two looks, per cluster, at who may be asked again."""
RETRY_SECONDS: Final = 5.0
"""For which a connection that fails everywhere is tried again, before the caller is told; a setting of the scheduler.
Longer than an ejection, so that an endpoint that came back is found again within the wait."""


def load_patience(agent_load: float = AGENT_LOAD, agent_unload: float = AGENT_UNLOAD) -> float:
    """How long a load may stay without an answer: it may wait in the agent for an unload of the same name."""
    return agent_load + agent_unload + ANSWER_MARGIN


def unload_patience(agent_unload: float = AGENT_UNLOAD) -> float:
    """How long an unload may stay without an answer."""
    return agent_unload + ANSWER_MARGIN
