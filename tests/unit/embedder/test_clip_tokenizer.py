"""CLIP's tokenizer by rules alone; that its tokens are open_clip's is a test of tests/models."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.support.clip_exports import MERGES
from triptych_embedder.models.clip_tokenizer import Cleaning, ClipTokenizer

_FIRST_MERGE = 512
"""256 bytes, 256 bytes at the end of a word, then the merges, then start and end."""
_START, _END = _FIRST_MERGE + len(MERGES), _FIRST_MERGE + len(MERGES) + 1
_CAT, _DOG = _FIRST_MERGE + 1, _FIRST_MERGE + 3


def _tokens(text: str, *, context_length: int = 8, cleaning: Cleaning = "lower") -> list[int]:
    (row,) = ClipTokenizer(MERGES, context_length=context_length, cleaning=cleaning)([text])
    return [int(token) for token in row]


def test_words_stand_between_start_and_end_and_zeros_follow() -> None:
    assert _tokens("cat dog") == [_START, _CAT, _DOG, _END, 0, 0, 0, 0]
    assert _tokens("") == [_START, _END, 0, 0, 0, 0, 0, 0]


def test_a_text_is_cleaned_before() -> None:
    assert _tokens("  CAT \n\t Dog ") == _tokens("cat dog")
    assert _tokens("cat &amp;amp; dog") == _tokens("cat & dog")
    assert _tokens("\N{FULLWIDTH LATIN SMALL LETTER C}at") == _tokens("cat")
    assert _tokens("It’s") == _tokens("it's")
    assert _tokens("c_a-t. DOG!", cleaning="canonicalize") == _tokens("c at dog", cleaning="canonicalize")
    assert _tokens("Cat", cleaning="whitespace") != _tokens("cat", cleaning="whitespace")


def test_a_long_text_is_cut_and_still_ends() -> None:
    assert _tokens("cat " * 100) == [_START, *[_CAT] * 6, _END]
    assert _tokens("cat " * 6) == [_START, *[_CAT] * 6, _END]
    assert _tokens("cat dog", context_length=2) == [_START, _END]


def test_what_no_merge_joins_is_spelled_in_bytes() -> None:
    assert len([token for token in _tokens("é") if token]) == 4
    assert _tokens("cats")[1:4] != [_CAT, *_tokens("s")[1:3]]


def test_a_text_that_spells_a_special_token_is_that_token() -> None:
    assert _tokens("<start_of_text> cat <END_OF_TEXT>") == [_START, _START, _CAT, _END, _END, 0, 0, 0]


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4), st.integers(2, 20))
def test_any_text_begins_and_ends(texts: list[str], context_length: int) -> None:
    rows = ClipTokenizer(MERGES, context_length=context_length, cleaning="lower")(texts)
    assert rows.shape == (len(texts), context_length) and rows.dtype == np.int64
    assert (rows[:, 0] == _START).all() and (rows.max(axis=1) == _END).all()
