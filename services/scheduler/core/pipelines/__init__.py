"""What a pipeline's definition means, and the steps that bring pipelines to engines, gateways and Envoy.

references, definition, cycles, dataflow_updates   pure functions over the scheduler's messages
state, routes, reconcile, control                  what is known, and the steps that change it
readiness, status, explain                         what is told about it
"""
