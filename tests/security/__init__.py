"""Who may what, of every route and every kind of caller, against a real gateway: `make security`."""
