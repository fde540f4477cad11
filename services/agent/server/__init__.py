"""The inference server beside the agent: its repository calls and what its answers mean."""
