"""What one clustering leaves for the next, and new faces grouped by it."""
