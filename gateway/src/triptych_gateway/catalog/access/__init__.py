"""Who may ask: API tokens."""
