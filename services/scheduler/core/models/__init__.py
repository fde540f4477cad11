"""Models: where their versions run, and the steps that bring them there.

definition, placement, lifecycle, route_plan   pure functions over definitions and state
inventory, reconcile, control                  the steps that change the state
gateways                                       who feeds them from Kafka
status, explain                                what is told about them
"""
