"""Who may ask, and what: tokens, the gate before the interface, and a line for whoever changed something."""
