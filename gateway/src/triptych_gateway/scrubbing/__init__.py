"""Scrubbing: what was forgotten leaves the files of PostgreSQL and NATS as well."""
