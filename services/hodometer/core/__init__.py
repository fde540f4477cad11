"""What is counted and how it is sent, without network."""
