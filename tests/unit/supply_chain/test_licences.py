"""The licence of everything that Triptych needs is known, and allowed or taken for a reason."""

import dataclasses
from email.message import Message

import pytest

from tools.supply_chain.licences import (
    ROOT,
    Known,
    LicenceError,
    Package,
    complaints,
    found_complaints,
    is_allowed,
    known,
    licence_of,
    npm_packages,
    python_packages,
)

KNOWN = Known(
    allowed=frozenset({"MIT", "Apache-2.0"}),
    said={"MIT License": "MIT", "License :: OSI Approved :: MIT License": "MIT"},
    stated={},
    elsewhere={},
    exceptions=[],
)


def metadata(**fields: str) -> Message:
    message = Message()
    for name, value in {"Name": "Some_Package", **fields}.items():
        message[name.replace("_", "-")] = value
    return message


def test_every_licence_of_what_is_needed_is_allowed_or_excepted() -> None:
    assert list(found_complaints()) == []


def test_packages_of_every_part_are_looked_at_those_that_are_not_installed_too() -> None:
    packages = python_packages(known())

    assert packages["grpcio"].parts == {"gateway", "embedder", "facedetect", "cluster", "progress"}
    assert packages["torch"].parts == {"embedder"}
    assert packages["hdbscan"].parts == {"cluster"}
    assert packages["onnxruntime-gpu"].parts == {"embedder", "facedetect"}
    assert packages["aiobotocore"].parts == {"gateway", "embedder", "facedetect"}
    assert not {"pytest", "ruff", "triptych-common"} & packages.keys()


def test_of_npm_packages_those_are_looked_at_that_do_more_than_build_the_page() -> None:
    packages = npm_packages((ROOT / "ui" / "package-lock.json").read_text())

    assert {"svelte", "clsx"} < packages.keys()
    assert not {"vite", "eslint"} & packages.keys()


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License_Expression": "MIT OR Zlib", "License": "MIT License"}, "MIT OR Zlib"),
        ({"License": "MIT License"}, "MIT"),
        ({"License": "Apache-2.0"}, "Apache-2.0"),
        ({"License": "see LICENSE", "Classifier": "License :: OSI Approved :: MIT License"}, "MIT"),
    ],
)
def test_a_licence_is_what_the_package_says(fields: dict[str, str], licence: str) -> None:
    assert licence_of(metadata(**fields), KNOWN) == licence


def test_a_licence_that_nobody_knows_is_not_guessed() -> None:
    with pytest.raises(LicenceError, match="some-package does not say its licence"):
        licence_of(metadata(License="BSD"), KNOWN)
    stated = dataclasses.replace(KNOWN, stated={"some-package": {"licence": "BSD-3-Clause", "by": "LICENSE"}})
    assert licence_of(metadata(License="BSD"), stated) == "BSD-3-Clause"


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("(GPL-3.0-only OR MIT) AND Apache-2.0", True),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("LicenseRef-Ours", False),
    ],
)
def test_an_expression_is_allowed_where_what_is_allowed_is_enough(licence: str, allowed: bool) -> None:
    assert is_allowed(licence, KNOWN.allowed) is allowed


def test_what_is_not_allowed_is_found_unless_it_is_excepted_with_that_licence() -> None:
    packages = {"x": Package(name="x", licence="GPL-3.0-only")}
    exception = {"packages": ["x"], "licence": "GPL-3.0-only", "of": "all", "reason": "none"}

    refused = list(complaints(packages, {"y": "AGPL-3.0-only"}, KNOWN, ""))

    assert [line.partition(" is not allowed")[0] for line in refused] == ["x: GPL-3.0-only", "y: AGPL-3.0-only"]
    excepted = dataclasses.replace(KNOWN, exceptions=[exception])
    assert list(complaints(packages, {}, excepted, "")) == []
    other = dataclasses.replace(KNOWN, exceptions=[exception | {"licence": "GPL-2.0-only"}])
    assert len(list(complaints(packages, {}, other, ""))) == 1


def test_what_is_said_of_other_versions_or_of_nothing_is_found() -> None:
    entry = {"version": "1.0", "licence": "MIT", "needs": []}
    packages = {"x": Package(name="x", licence="MIT")}
    told = dataclasses.replace(KNOWN, elsewhere={"x": entry})

    assert list(complaints(packages, {}, told, "x==1.0 \\\n")) == []
    assert list(complaints(packages, {}, told, "x==1.1 \\\n")) == [
        "x: licences.toml tells of 1.0, locked is 1.1: read that one's"
    ]
    assert list(complaints({}, {}, told, "x==1.0\n")) == ["x: licences.toml tells of it, and nothing needs it"]
