"""The clustering phase."""
