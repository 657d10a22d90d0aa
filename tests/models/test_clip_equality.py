"""What is done without PyTorch is what open_clip does: the same pictures into the network, and the same tokens."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import open_clip
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from tests.models.photos import photos
from triptych_embedder.models.clip_preprocessing import Interpolation, Preprocessing, ResizeMode
from triptych_embedder.models.clip_tokenizer import Cleaning, ClipTokenizer

_MEAN, _DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def _both(
    size: tuple[int, int], mode: ResizeMode, interpolation: Interpolation
) -> tuple[Preprocessing, Callable[[Image.Image], Any]]:
    config = PreprocessCfg(
        size=size, mean=_MEAN, std=_DEVIATION, interpolation=interpolation, resize_mode=mode, fill_color=7
    )
    ours = Preprocessing(
        height=size[0],
        width=size[1],
        mean=_MEAN,
        deviation=_DEVIATION,
        interpolation=interpolation,
        resize_mode=mode,
        fill=7,
    )
    return ours, image_transform_v2(config, is_train=False)


def _pictures() -> list[NDArray[np.uint8]]:
    """Photos, and cuts of them: odd sides, smaller than what is needed, as large as that, long ones."""
    astronaut = photos()[0]
    cuts = [(301, 457), (457, 301), (40, 30), (224, 224), (224, 300), (225, 223), (448, 449), (512, 140), (64, 200)]
    return [*photos(), *(np.ascontiguousarray(astronaut[:height, :width]) for height, width in cuts)]


@pytest.mark.parametrize("size", [(224, 224), (240, 160)])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pictures_are_those_of_open_clips_transform(
    size: tuple[int, int], mode: ResizeMode, interpolation: Interpolation
) -> None:
    ours, theirs = _both(size, mode, interpolation)
    for picture in _pictures():
        expected = theirs(Image.fromarray(picture)).numpy()
        assert np.abs(ours.prepare(picture) - expected).max() < 1e-6, picture.shape


def test_a_very_long_picture_is_the_same_within_the_rounding_of_a_grey_level() -> None:
    ours, theirs = _both((224, 224), "shortest", "bicubic")
    strip = np.ascontiguousarray(photos()[0][100:180, :])
    assert strip.shape == (80, 512, 3)
    difference = np.abs(ours.prepare(strip) - theirs(Image.fromarray(strip)).numpy())
    assert difference.max() < 1.01 / 255 / min(_DEVIATION) and (difference > 1e-6).mean() < 0.01


_TEXTS = [
    "",
    " ",
    "a photo of a cat",
    "A PHOTO OF A CAT!",
    "it's we'll they've I'd you're o'clock 'tis",
    "naïve café, Ångström, ŒUVRE, Straße, İstanbul, ǅ",
    "猫が窓辺で眠っている。二〇二六年",
    "고양이가 창가에서 자고 있다",
    "Кошка спит на окне",
    "قطة تنام على النافذة",
    "बिल्ली खिड़की पर सो रही है",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈 flags 🇩🇪 and 😀😀",
    "&lt;b&gt; &amp;amp; &#x1F600; &nbsp;",
    "“curly” ‘quotes’ — dashes … ﬁgure ﬂight",
    "Ｆｕｌｌ　ｗｉｄｔｈ",
    "sÃ© mojibake â€œquotedâ€\x9d",
    "line\nbreaks\r\nand\ttabs\x0b\x0c\x85\u2028end",
    "zero\u200bwidth\ufeff\u00ad soft",
    "1234567890 3.14159 ١٢٣ Ⅷ ½",
    "snake_case kebab-case path/to/file.jpg user@example.org #tag",
    "<start_of_text> in the middle <end_of_text> <START_OF_TEXT>",
    "</w> </w>cat",
    "x" * 500,
    "word " * 200,
    "猫" * 100,
    "a\u0301\u0301\u0301 combining e\u0301",
    "\ud7ff\ue000\U0010ffff \U0001f9ff",
]


def _alike(cleaning: Cleaning, context_length: int = 77) -> tuple[ClipTokenizer, Any]:
    theirs = open_clip.tokenizer.SimpleTokenizer(clean=cleaning, context_length=context_length)
    return ClipTokenizer(list(theirs.bpe_ranks), context_length=context_length, cleaning=cleaning), theirs


@pytest.mark.parametrize("cleaning", ["lower", "whitespace", "canonicalize"])
@pytest.mark.parametrize("context_length", [77, 16])
def test_tokens_are_open_clips(cleaning: Cleaning, context_length: int) -> None:
    ours, theirs = _alike(cleaning, context_length)
    chooser = random.Random(4)
    alphabet = [*"abc XYZ'.,!0189éßøñ", "猫", "é", "😀", "\n", "’", "&amp;", "ﬁ", "</w>", "ſ", "K"]
    mixed = ["".join(chooser.choices(alphabet, k=chooser.randint(1, 120))) for _ in range(2000)]
    for text in [*_TEXTS, *mixed]:
        assert np.array_equal(ours([text]), theirs([text]).numpy()), text
    assert np.array_equal(ours(_TEXTS), theirs(_TEXTS).numpy())


_OURS, _THEIRS = _alike("lower")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_tokens_of_any_text_are_open_clips(text: str) -> None:
    assert np.array_equal(_OURS([text]), _THEIRS([text]).numpy())
