"""CLIP's byte-pair tokenizer without PyTorch: the same tokens as open_clip's SimpleTokenizer.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021, section 2.4; the cleaning
of texts is part of what the networks were trained on, so it is done by the same libraries (ftfy, regex).
"""

import html
import string
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final, Literal

import ftfy
import numpy as np
import regex
from numpy.typing import NDArray

Cleaning = Literal["lower", "whitespace", "canonicalize"]
"""open_clip's names: lower case, as it is, or lower case without punctuation; white space is made single in each."""

Merge = tuple[str, str]

_START, _END = "<start_of_text>", "<end_of_text>"
_WORD_END: Final = "</w>"
_WORDS: Final = regex.compile(
    rf"{_START}|{_END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+", regex.IGNORECASE
)
_CACHED_WORDS: Final = 20_000


class ClipTokenizer:
    """Texts to rows of tokens. Safe to use from several threads."""

    def __init__(self, merges: Sequence[Merge], *, context_length: int, cleaning: Cleaning) -> None:
        """``merges`` are pairs of symbols, the first to be joined first; ``context_length`` ≥ 2 is in tokens."""
        letters = _letters_of_bytes()
        words = [*letters.values(), *(letter + _WORD_END for letter in letters.values())]
        words += [first + second for first, second in merges]
        words += [_START, _END]
        self._letters = letters
        self._tokens = {word: token for token, word in enumerate(words)}
        self._ranks = {merge: rank for rank, merge in enumerate(merges)}
        self._context_length = context_length
        self._clean = CLEANINGS[cleaning]
        self._tokens_of_word = lru_cache(_CACHED_WORDS)(self._split)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens [n, context_length] of n texts: start, words, end, then zeros; longer ones are cut before the end."""
        rows = np.zeros((len(texts), self._context_length), np.int64)
        start, end = self._tokens[_START], self._tokens[_END]
        for row, text in zip(rows, texts, strict=True):
            words = _WORDS.findall(self._clean(text))
            tokens = [token for word in words for token in self._tokens_of_word(word)][: self._context_length - 2]
            row[: len(tokens) + 2] = [start, *tokens, end]
        return rows

    def _split(self, word: str) -> tuple[int, ...]:
        """The tokens of one word: its bytes, joined pair by pair, the earliest merge first."""
        symbols = [self._letters[byte] for byte in word.encode()]
        if (special := self._special(symbols)) is not None:
            return (special,)
        symbols[-1] += _WORD_END
        while len(symbols) > 1:
            best = min(pairwise(symbols), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            symbols = _join(symbols, best)
        return tuple(self._tokens[symbol] for symbol in symbols)

    def _special(self, symbols: Sequence[str]) -> int | None:
        """The token of a text that spells one: open_clip takes it for that token, in lower case."""
        spelled = "".join(symbols)
        return self._tokens[spelled] if spelled in (_START, _END) else None


def _join(symbols: Sequence[str], pair: Merge) -> list[str]:
    """Every occurrence of a pair as one symbol, from the left."""
    joined: list[str] = []
    place = 0
    while place < len(symbols):
        is_pair = place + 1 < len(symbols) and (symbols[place], symbols[place + 1]) == pair
        joined.append("".join(pair) if is_pair else symbols[place])
        place += 2 if is_pair else 1
    return joined


def _letters_of_bytes() -> Mapping[int, str]:
    """A printable letter for each byte: itself where it is one in Latin-1, else one above U+00FF."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable}
    letters |= {byte: chr(256 + index) for index, byte in enumerate(others)}
    return letters


def _repaired(text: str) -> str:
    return html.unescape(html.unescape(ftfy.fix_text(text)))


def _whitespace(text: str) -> str:
    return " ".join(_repaired(text).split())


def _lower(text: str) -> str:
    return _whitespace(text).lower()


def _canonicalize(text: str) -> str:
    plain = _repaired(text).replace("_", " ").translate(str.maketrans("", "", string.punctuation))
    return " ".join(plain.lower().split())


CLEANINGS: Final[Mapping[Cleaning, Callable[[str], str]]] = {
    "lower": _lower,
    "whitespace": _whitespace,
    "canonicalize": _canonicalize,
}
"""What is done to a text first."""
