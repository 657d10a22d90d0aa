"""The REST contract as a client reads it: requests, answers, and following a session."""
