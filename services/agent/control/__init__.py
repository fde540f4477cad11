"""The agent's ends to those who control it: the scheduler, and people who debug."""
