"""Forgetting: persons, photos and sessions are removed with all that was kept of them."""
