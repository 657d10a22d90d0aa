"""Finding the photos of a session, among them those that moved."""
