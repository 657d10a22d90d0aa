"""The pictures are found without importing the packages that carry them, and a missing package is named."""

import importlib.util
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from triptych_gateway.cli.samples.errors import PictureMissingError
from triptych_gateway.cli.samples.sources import PICTURES, find_pictures

FIND_AND_SHOW_IMPORTED = """
import sys
from triptych_gateway.cli.samples.sources import find_pictures
find_pictures()
print(sorted({"skimage", "sklearn", "insightface", "scipy", "cv2"} & set(sys.modules)))
"""


def test_every_picture_is_found_and_names_are_unique() -> None:
    found = find_pictures()

    assert set(found) == set(PICTURES)
    assert all(file.is_file() for file in found.values())
    assert len({picture.name for picture in PICTURES}) == len(PICTURES)
    assert all(picture.credit.isascii() for picture in PICTURES), "EXIF's Copyright is ASCII"


def test_finding_them_imports_none_of_the_packages() -> None:
    process = subprocess.run(
        [sys.executable, "-c", FIND_AND_SHOW_IMPORTED], check=True, capture_output=True, text=True, timeout=60
    )

    assert process.stdout.strip() == "[]"


def test_packages_that_are_not_installed_are_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    really_find = importlib.util.find_spec

    def find(name: str) -> ModuleSpec | None:
        return None if name in {"insightface", "sklearn"} else really_find(name)

    monkeypatch.setattr(importlib.util, "find_spec", find)

    with pytest.raises(PictureMissingError, match=r"t1\.jpg.*pip install insightface scikit-learn$"):
        find_pictures()
