"""What ends a phase."""


class PhaseFailedError(Exception):
    """A phase cannot be completed. ``code`` is a stable word in snake_case, the message one sentence for a person."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
