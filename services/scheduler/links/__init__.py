"""The way of instructions to connected agents, gateways and dataflow engines."""
