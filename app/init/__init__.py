"""A first configuration, written after a few questions."""
