"""Runs sessions: discovery, the three phases, leases, and the announcements of what happens."""
