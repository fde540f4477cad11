"""What messages of the protocols say in each other's terms; nothing here does I/O."""
