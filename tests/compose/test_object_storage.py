"""Photos in a bucket under Compose, with the file that is added for it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose.composition import OBJECT_STORAGE, OURS, Composition
from tests.compose.training import Training
from tests.support.object_storage import Storage, running_storage


@pytest.fixture(scope="module")
def storage(compose: Composition) -> Iterator[Storage]:
    """A store on this machine, which containers with a way out reach."""
    with running_storage(compose.host_address()) as running:
        yield running


@pytest.fixture(scope="module")
def with_buckets(compose: Composition, storage: Storage) -> Iterator[Composition]:
    """Gateway, embedder and face detector that read a bucket beside `/photos`."""
    access = {**os.environ, **storage.environment}
    added = compose.with_file(
        OBJECT_STORAGE,
        BUCKETS="s3://family/photos",
        S3_ENDPOINT_URL=storage.url,
        **{name: value for name, value in access.items() if name.startswith("AWS_")},
    )
    added.start()
    yield added
    compose.start()


def test_photos_of_a_bucket_are_trained_on_and_shown(
    storage: Storage, with_buckets: Composition, interface: httpx.Client, tmp_path: Path
) -> None:
    script = Path(sys.executable).with_name("triptych")
    subprocess.run([script, "samples", str(tmp_path / "samples"), "--count", "12", "--seed", "5"], check=True)
    photos = sorted((tmp_path / "samples").rglob("*.jpg"))
    bucket = storage.make_bucket("family", {f"photos/{one.name}": one.read_bytes() for one in photos})

    training = Training(interface, f"{bucket.path().decode()}/photos")
    training.until_completed(photos=len(photos))

    found = interface.get("/faces/persons", params={"session_id": training.id}).raise_for_status().json()["items"]
    crop = interface.get(f"/faces/{found[0]['coverFaceId']}/crop").raise_for_status()
    assert crop.headers["content-type"] == "image/jpeg"


def test_only_who_reads_photos_has_a_way_to_the_store(storage: Storage, with_buckets: Composition) -> None:
    host, port = storage.url.removeprefix("http://").split(":")
    reach = (
        "import socket\n"
        f"try: socket.create_connection(('{host}', {port}), timeout=5).close(); print('reached')\n"
        "except OSError: print('away')"
    )
    said = {service: with_buckets("exec", "-T", service, "python", "-c", reach).strip() for service in OURS}
    assert said == {**dict.fromkeys(OURS, "reached"), "cluster": "away", "progress": "away"}
