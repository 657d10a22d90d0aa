"""Groups faces into people."""
