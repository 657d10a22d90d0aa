"""A model that runs: what is known of it, its weights, its device, and when it is in memory."""
