"""Forgetting over REST and by the command line: what is answered, to whom, and what is not there any more."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.contract.test_persons import PERSONS, UNKNOWN, People, gateway, ok, people
from tests.contract.test_sessions import PAGE_KEYS, UTC, refused
from tests.support.real_servers import wait_for
from tests.support.running_gateway import Gateway
from tests.support.running_triptych import clean_environment, triptych

__all__ = ["gateway", "people"]

FORGETTINGS = "/api/v1/privacy/forgettings"
KEYS = {
    *("id", "kind", "subjectId", "keepOut", "persons", "faces", "photos", "sessions", "waitsFor", "askedAt", "doneAt"),
}
SESSIONS = "/api/v1/training/sessions"


def forget(client: httpx.Client, kind: str, subject_id: int, **more: Any) -> dict[str, Any]:
    """What is answered once it is done."""
    answer = client.post(FORGETTINGS, json={"kind": kind, "id": subject_id, **more})
    assert answer.status_code == 202, answer.text
    asked = answer.json()
    latest: dict[str, Any] = {}

    def is_done() -> bool:
        latest.update(ok(client.get(f"{FORGETTINGS}/{asked['id']}")))
        return latest["doneAt"] is not None

    wait_for(is_done, "it is forgotten")
    return latest


def test_a_person_is_gone_and_the_answer_tells_how_much_that_was(client: httpx.Client, people: People) -> None:
    done = forget(client, "person", people.ada)

    assert done.keys() == KEYS
    assert UTC.fullmatch(done["askedAt"])
    assert UTC.fullmatch(done["doneAt"])
    counts = {key: done[key] for key in ("persons", "faces", "photos", "sessions", "keepOut", "waitsFor")}
    assert counts == {"persons": 1, "faces": 3, "photos": 0, "sessions": 0, "keepOut": True, "waitsFor": None}
    refused(client.get(f"{PERSONS}/{people.ada}"), 404, "not_found")
    assert [one["id"] for one in ok(client.get(PERSONS))["items"]] == [people.ben]
    page = ok(client.get(FORGETTINGS))
    assert page.keys() == PAGE_KEYS
    assert [one["subjectId"] for one in page["items"]] == [people.ada]
    asked = ok(client.get("/api/v1/audit"))["items"][0]
    assert (asked["action"], asked["personId"]) == ("forget", people.ada)


def test_a_session_goes_with_its_photos(client: httpx.Client, people: People) -> None:
    photo = ok(client.get(f"{PERSONS}/{people.ada}/faces"))["items"][0]["assetId"]

    done = forget(client, "session", people.session_id)

    assert (done["sessions"], done["photos"], done["faces"]) == (1, 3, 6)
    refused(client.get(f"{SESSIONS}/{people.session_id}"), 404, "not_found")
    refused(client.get(f"/api/v1/images/{photo}"), 404, "not_found")
    assert ok(client.get(f"{SESSIONS}/{people.empty_session_id}"))["id"] == people.empty_session_id


@pytest.mark.parametrize("kind", ["person", "photo", "session"])
def test_who_is_not_there_is_not_found(client: httpx.Client, people: People, kind: str) -> None:
    refused(client.post(FORGETTINGS, json={"kind": kind, "id": UNKNOWN}), 404, "not_found")


def test_another_kind_is_refused(client: httpx.Client) -> None:
    refused(client.post(FORGETTINGS, json={"kind": "category", "id": 1}), 422, "invalid_request")


def test_kept_pictures_are_removed(client: httpx.Client, gateway: Gateway, people: People) -> None:
    (gateway.media / "pictures").mkdir(exist_ok=True)
    Image.new("RGB", (64, 48), "red").save(gateway.media / "pictures" / "a.jpg")
    path = {"path": str(gateway.media / "pictures" / "a.jpg")}
    shown = client.get("/api/v1/training/directories/preview/thumbnail", params=path)
    assert shown.is_success
    cache = gateway.log.parent / "data" / "cache"
    assert list(cache.rglob("*.jpg"))

    forget(client, "person", people.ben)

    wait_for(lambda: not list(cache.rglob("*.jpg")), "the pictures are gone")
    again = client.get("/api/v1/training/directories/preview/thumbnail", params=path)
    assert again.content == shown.content
    assert list(cache.rglob("*.jpg")), "and are kept again from now on"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        triptych(*arguments),
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def url(gateway: Gateway) -> Iterator[str]:
    yield gateway.url


def test_the_command_names_what_goes_and_does_nothing_where_nobody_can_be_asked(
    client: httpx.Client, url: str, people: People
) -> None:
    client.patch(f"{PERSONS}/{people.ada}", json={"name": "Ada"}).raise_for_status()

    said = run("forget", "person", str(people.ada), "--url", url)

    assert said.returncode == 1
    assert f"Person {people.ada} (Ada): 3 faces in 2 photos" in said.stderr
    assert "--yes" in said.stderr
    assert ok(client.get(f"{PERSONS}/{people.ada}"))["name"] == "Ada"


def test_the_command_forgets_and_may_be_said_again(client: httpx.Client, url: str, people: People) -> None:
    first = run("forget", "person", str(people.ada), "--url", url, "--yes", "--no-keep-out", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert (told["kind"], told["persons"], told["faces"]) == ("person", 1, 3)
    assert ok(client.get(f"{FORGETTINGS}/{told['id']}"))["keepOut"] is False

    again = run("forget", "person", str(people.ada), "--url", url, "--yes")
    assert (again.returncode, again.stdout) == (0, "Forgotten: 1 person, 3 faces.\n")
    assert "triptych scrub" in again.stderr

    nobody = run("forget", "person", "123456789", "--url", url, "--yes")
    assert nobody.returncode == 1
    assert "There is no person 123456789" in nobody.stderr
