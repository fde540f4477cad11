"""Decides where every model and pipeline runs, tells agents, gateways and engines, and tells Envoy how to reach it.

core     every decision: pure steps over one state, without clock, socket or disk
store    desired state on disk
envoy    what the core wants routed, brought to every connected Envoy
peers    agents, gateways and dataflow engines: their subscriptions, and the way instructions take to them
feeds    changes told to subscribers
api      the calls of clients: gRPC for the command line and operators, HTTP for probes and explanations
engine   runs the steps one after the other and carries out their effects; app wires it all
"""
