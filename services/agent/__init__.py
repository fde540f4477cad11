"""Agent: beside each inference server, loads and unloads its models and is the path of requests to unloaded ones."""
