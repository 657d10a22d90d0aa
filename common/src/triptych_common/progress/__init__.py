"""How progress is told: what a request works on, the events, their publisher, and what is known of durations."""
