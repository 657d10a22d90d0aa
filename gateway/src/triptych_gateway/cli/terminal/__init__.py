"""What people read: consoles, words and numbers, live progress, tables and reports."""
