"""Bytes thrown at parsers: what each reads in earnest, damaged, and noise."""

import time
from collections.abc import Iterator
from random import Random
from typing import Final

from tests.fuzz.cells import Cell
from tests.fuzz.parsers import PARSERS, PIECES, Parser

LONGEST_SECONDS: Final = 10.0
"""That a parser may take for a few kilobytes, on a machine that others use too."""


def throw(*, seed: int, seconds: float) -> list[Cell]:
    """A cell for each parser, each tried for so long at least once with each of its seeds."""
    return [_throw_at(name, parser, Random(f"{seed} {name}"), seconds) for name, parser in PARSERS.items()]


def _throw_at(name: str, parser: Parser, random: Random, seconds: float) -> Cell:
    cell = Cell(name=f"parser: {name}")
    deadline = time.monotonic() + seconds
    for content in _inputs(parser, random):
        began = time.monotonic()
        try:
            parser.try_on(content)
        except Exception as error:  # noqa: BLE001 - it is told, and the cell has failed
            cell.problems.append(f"{error!r} of {content[:200]!r}")
        cell.tried += 1
        if (took := time.monotonic() - began) > LONGEST_SECONDS:
            cell.problems.append(f"{took:.1f} s for {content[:200]!r}")
        if time.monotonic() > deadline and cell.tried > len(parser.seeds):
            break
    return cell


def _inputs(parser: Parser, random: Random) -> Iterator[bytes]:
    yield from parser.seeds
    while True:
        if random.random() < 0.1:
            yield random.randbytes(random.randrange(200))
            continue
        content = bytearray(random.choice(parser.seeds))
        for _ in range(random.randint(1, 6)):
            begin = random.randint(0, len(content))
            put = random.choice(PIECES) if random.random() < 0.5 else random.randbytes(random.randrange(8))
            content[begin : begin + random.randrange(9)] = put
        yield bytes(content)
