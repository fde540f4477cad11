"""A deployment in containers: what the make targets and the tests do to it, through Docker Compose."""
