"""xdpl."""
