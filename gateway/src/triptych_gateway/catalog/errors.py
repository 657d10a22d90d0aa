"""What every part of the catalogue answers where a row is not there."""


class NotFoundError(LookupError):
    """There is no such row."""
