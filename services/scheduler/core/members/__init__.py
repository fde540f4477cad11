"""Who runs a resource among members that come and go: dataflow engines, model gateways and pipeline gateways alike.

ring       which members a resource belongs to
deployment what each member was told of one resource, and what it answered
fleet      the members of one kind
rounds     the instructions that bring the members to what is wanted
summary    the answers of all members as one state and one sentence
"""
