"""Decides where every model and pipeline runs, tells agents, gateways and engines, and tells Envoy how to reach it.

definition, placement, lifecycle, route_plan, xds_resources, xds_stream, status, explain   pure decisions
state, reconcile, control                                   models: what is known, and the steps that change it
members                                                     who runs what among gateways and dataflow engines
model_gateways, pipelines                                   the same for models at their gateways, and for pipelines
core                                                        all steps together
store, xds_server, publisher, feeds, link, *api             adapters, named after what they talk to
engine, app                                                 the wiring
"""
