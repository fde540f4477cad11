"""Open Inference Protocol: what its tensors mean."""
