"""The catalogue: what is known of photos, sessions, faces and people, in PostgreSQL."""
