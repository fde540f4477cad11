"""Agents, gateways and dataflow engines: who subscribes, where they can be reached, what they answered."""
