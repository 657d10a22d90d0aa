"""Requests generated from the OpenAPI document, against a whole stack: `make contract`."""
