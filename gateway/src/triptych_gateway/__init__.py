"""Triptych's REST interface, catalogue, pipeline and command line."""
