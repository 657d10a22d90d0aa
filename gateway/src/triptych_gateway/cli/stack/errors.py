"""What the stack raises."""


class StackError(Exception):
    """Why the stack cannot run: one sentence for a person, with what to do about it; never holds a secret."""
