"""Hostile files, each with how a session may end with it. The same seed makes the same files."""
