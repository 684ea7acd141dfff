"""The straight line from a client's bytes to a client's bytes."""
