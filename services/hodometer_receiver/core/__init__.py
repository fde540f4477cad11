"""What an event must look like, and what is kept of it."""
