"""Backups of the catalogue: made while everything runs, checked, and restored whole or not at all."""
