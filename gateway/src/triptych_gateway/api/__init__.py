"""The REST contract, and only it."""
