"""Folds progress events into one honest progress per session."""
