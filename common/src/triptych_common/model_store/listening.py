"""What whoever fetches or checks weights is told meanwhile."""

from enum import StrEnum
from typing import Protocol


class Step(StrEnum):
    """What is being done to a file."""

    FETCHING = "fetching"
    COPYING = "copying"
    UNPACKING = "unpacking"
    CHECKING = "checking"


class Listener(Protocol):
    """Is told how far it is. Its methods return soon: the work waits for them."""

    def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
        """So many bytes of the file ``name`` are done; may fall back where a server makes it begin again."""

    def say(self, sentence: str) -> None:
        """Something that a person should know."""


class Silent:
    """Listens to nothing."""

    def on_progress(self, step: Step, name: str, done_bytes: int, total_bytes: int) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Nothing."""
