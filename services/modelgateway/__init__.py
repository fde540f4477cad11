"""The model gateway: records of a model's input topic become inference calls, replies become records."""
