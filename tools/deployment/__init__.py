"""Holds what is in deploy/ and compose.yaml against schemas, the code and docs/architecture.md."""
