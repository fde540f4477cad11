"""Every decision of the scheduler, without clock, socket or disk: any history can be replayed in a test.

models      where versions run, and the steps that bring them there
pipelines   what a pipeline may look like, and its life at engines and gateways
members     who runs a resource among gateways and engines that come and go
envoy       what Envoy should have, and what one stream still lacks
state       what is known; effects: what a step asks the outside to do; decisions: all steps together
"""
