"""Each of these parsers gives a value or its one documented error, whatever bytes it is given."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS, PIECES


@st.composite
def damaged(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """What the parser reads in earnest, with some bytes replaced, taken away or put in."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        begin = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 8))
        content[begin : begin + length] = draw(st.binary(max_size=8) | st.sampled_from(PIECES))
    return bytes(content)


@pytest.mark.parametrize("name", PARSERS)
def test_bytes_give_a_value_or_the_documented_error(name: str) -> None:
    parser = PARSERS[name]

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=200) | damaged(list(parser.seeds)))
    def ask(content: bytes) -> None:
        parser.try_on(content)

    ask()


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_meant_for_a_parser_is_read(name: str) -> None:
    for seed in PARSERS[name].seeds:
        PARSERS[name].try_on(seed)
