"""The cold path: requests that reach the agent because its server is down or lacks the model."""
