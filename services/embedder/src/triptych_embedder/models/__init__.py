"""Embedding models: the interface of a backend, the registry of backends, and one file for each."""
