"""The manifest: what is pinned is really pinned, and a damaged one is refused."""

import re

import pytest
from pydantic import ValidationError

from tests.support.model_entries import entry, pinned, plain_entry
from triptych_common.model_store import Entry, Manifest, entry_name, production_model, read_manifest
from triptych_common.model_store.manifest import PHOTO_SERVICES, PhotoService

FIXED_REVISION = re.compile(r"/resolve/[0-9a-f]{40}/|/releases/download/v\d+(\.\d+)+/")
ENTRIES = read_manifest().entries


@pytest.mark.parametrize("pinned_entry", ENTRIES, ids=lambda found: found.name)
def test_every_download_is_of_a_fixed_revision_with_size_and_digest(pinned_entry: Entry) -> None:
    for download in pinned_entry.downloads:
        assert FIXED_REVISION.search(download.url)
        assert not re.search(r"/(main|master|latest|HEAD)(/|$)", download.url)
        assert download.url.rpartition("/")[2] == download.file.name
        for file in (download.file, *(member.file for member in download.members)):
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert len(set(file.sha256)) > 4
            assert file.size_bytes > 1_000_000


@pytest.mark.parametrize("pinned_entry", ENTRIES, ids=lambda found: found.name)
def test_every_entry_names_its_licence_and_the_model_that_runs_it(pinned_entry: Entry) -> None:
    backend, _, model = pinned_entry.model.partition(":")
    assert entry_name(backend, model) == pinned_entry.name
    assert pinned_entry.licence.name
    assert pinned_entry.licence.non_commercial is pinned_entry.name.startswith("insightface/")


def test_the_same_file_in_two_packs_has_one_digest() -> None:
    digests: dict[int, set[str]] = {}
    for pinned_entry in ENTRIES:
        for file in pinned_entry.files:
            digests.setdefault(file.size_bytes, set()).add(file.sha256)
    # SCRFD-10GF is in buffalo_l and in antelopev2 under two names.
    assert all(len(found) == 1 for found in digests.values())


@pytest.mark.parametrize("service", PHOTO_SERVICES)
def test_production_has_a_model_for_each_service(service: PhotoService) -> None:
    assert production_model(service) == {
        "embedder": "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "facedetect": "insightface:buffalo_l",
    }.get(service)


@pytest.mark.parametrize("name", ["../weights.bin", "a/b", ".hidden", "", "a\0b", "-x"])
def test_a_file_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(ValidationError):
        plain_entry("open_clip/x", b"1", file=name)


@pytest.mark.parametrize("name", ["../x", "open_clip", "open_clip/../x", "a/b/c", ".fetching/x"])
def test_an_entry_lies_below_the_models_directory(name: str) -> None:
    with pytest.raises(ValidationError):
        plain_entry(name, b"1")


def test_two_files_of_one_name_are_refused() -> None:
    download = {"url": "https://example.org/r1/weights.bin", "file": pinned("weights.bin", b"1")}
    with pytest.raises(ValidationError, match="two files of one name"):
        entry("open_clip/x", [download, download])


def test_a_manifest_names_a_production_entry_of_the_right_service() -> None:
    clip, faces = plain_entry("open_clip/x", b"1"), plain_entry("insightface/y", b"2")
    production: dict[PhotoService, str] = {"embedder": clip.name, "facedetect": faces.name}
    assert Manifest(production=production, entries=(clip, faces)).find("insightface/y") == faces
    with pytest.raises(ValidationError, match="two entries have one name"):
        Manifest(production=production, entries=(clip, clip, faces))
    production["facedetect"] = clip.name
    with pytest.raises(ValidationError, match="no entry of the facedetect"):
        Manifest(production=production, entries=(clip, faces))
