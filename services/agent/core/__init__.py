"""What the agent decides and counts, without server, disk or clock."""
