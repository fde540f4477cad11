"""Decides where every model runs, tells the agents, and tells Envoy how to reach it.

definition, placement, lifecycle, route_plan, xds_resources, xds_stream, status, explain   pure decisions
state, reconcile, control                                   what is known, and the steps that change it
store, xds_server, publisher, feeds, *api                   adapters, named after what they talk to
engine, app                                                 the wiring
"""
