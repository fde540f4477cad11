"""The model repository on disk, laid out as each inference server wants it."""
