"""Runs the whole of Triptych on one machine: embedded servers, services, and the supervisor over them."""
