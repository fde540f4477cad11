"""One module per group of commands: flags in, calls to the adapters, text out."""
