"""What a metric may be, what goes together, what is sent, and who holds a job: no file, clock or network."""
