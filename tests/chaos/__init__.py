"""Whole stacks in which parts are killed, stopped, cut off, slowed, or have no room left: `make chaos`."""
