"""Tokenizers of Hugging Face's, by their own library: for networks such as SigLIP, whose texts are not CLIP's."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_embedder.models.clip_tokenizer import CLEANINGS, Cleaning


class HubTokenizer:
    """Texts to rows of tokens, as open_clip's HFTokenizer makes them."""

    def __init__(
        self, content: str, *, context_length: int, cleaning: Cleaning, pad_token: int, dropped_token: int | None
    ) -> None:
        """``content`` is that of a tokenizer.json; ``dropped_token`` becomes zero wherever it stands.

        Raises ValueError for content that is none.
        """
        try:
            self._tokenizer = Tokenizer.from_str(content)
        except Exception as error:  # the library raises nothing more special
            raise ValueError(f"no tokenizer: {error}") from error
        self._tokenizer.enable_truncation(context_length)
        self._tokenizer.enable_padding(length=context_length, pad_id=pad_token)
        self._clean = CLEANINGS[cleaning]
        self._dropped_token = dropped_token

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Tokens [n, context_length] of n texts."""
        encoded = self._tokenizer.encode_batch([self._clean(text) for text in texts])
        rows = np.array([one.ids for one in encoded], np.int64)
        if self._dropped_token is not None:
            rows[rows == self._dropped_token] = 0
        return rows
