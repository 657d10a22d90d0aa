"""Pictures that end too early: before, in and after each of their parts, and amid their pixels."""

from collections.abc import Iterator
from random import Random
from typing import Final

from tests.fuzz.corpus.hostile import EMBEDDED, EMPTY, REFUSED, Hostile, hostile
from tests.fuzz.corpus.parts import parts_of
from tests.fuzz.corpus.whole import Whole, whole_pictures

MOST_OF_ONE: Final = 24
"""Cuts of one picture at the beginnings of parts; of more, the seed chooses."""
_SHARES: Final = (0.1, 0.5, 0.9, 0.99)


def truncations(random: Random) -> Iterator[Hostile]:
    """Each whole picture, cut short."""
    yield hostile("nothing.jpg", b"", EMPTY)
    for name, whole in whole_pictures().items():
        size = len(whole.content)
        parts = parts_of(whole.content)
        chosen = random.sample(parts, MOST_OF_ONE) if len(parts) > MOST_OF_ONE else parts
        cuts = {1, 2, 3, 4, 8, 12, size - 1, *chosen, *(int(size * share) for share in _SHARES)}
        for cut in sorted(cuts):
            yield hostile(f"{name}-cut-at-{cut}.{whole.extension}", whole.content[:cut], *_ends(whole, cut))


def _ends(whole: Whole, cut: int) -> tuple[str, ...]:
    return REFUSED if cut < whole.needed else (*REFUSED, EMBEDDED)
