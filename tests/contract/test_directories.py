"""Directories over REST: what they hold, what of them is trained, which are ignored, and which a session walks."""

import io
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.contract.conftest import Alter
from tests.contract.test_sessions import SESSIONS, make_photos, refused, wait_for_total
from tests.support.running_gateway import Gateway

DIRECTORIES = "/api/v1/training/directories"
CONTRACT_KEYS = {"path", "name", "imageCount", "selected", "trainedCount", "lastTrainedAt", "trainingStatus"}


def listed(client: httpx.Client, path: Path | None = None, **query: Any) -> dict[str, dict[str, Any]]:
    """Directories by name."""
    parameters = query if path is None else {"path": str(path), **query}
    answer = client.get(DIRECTORIES, params=parameters)
    assert answer.status_code == 200, answer.text
    assert all(one.keys() >= CONTRACT_KEYS for one in answer.json())
    return {one["name"]: one for one in answer.json()}


def make_tree(folder: Path, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        make_photos(folder / name, count)


def ignore(client: httpx.Client, method: str, path: Path | str, **more: Any) -> httpx.Response:
    return client.request(method, f"{DIRECTORIES}/ignore", json={"path": str(path), **more})


def test_without_a_path_the_media_roots_are_listed(client: httpx.Client, gateway: Gateway, folder: Path) -> None:
    make_photos(folder, 1)

    roots = listed(client)

    assert roots.keys() == {gateway.media.name}
    assert roots[gateway.media.name]["path"] == str(gateway.media)
    assert roots[gateway.media.name]["imageCount"] >= 1


def test_directories_are_listed_by_name_with_the_photos_below_them(client: httpx.Client, folder: Path) -> None:
    make_tree(folder, {"b": 2, "b/deep": 3, "a": 0, ".hidden": 4, "@eaDir": 5})
    (folder / "file.jpg").write_bytes(b"x")
    (folder / "b" / "notes.txt").write_bytes(b"x")

    answer = client.get(DIRECTORIES, params={"path": str(folder)}).json()

    assert [(one["name"], one["path"], one["imageCount"]) for one in answer] == [
        ("a", str(folder / "a"), 0),
        ("b", str(folder / "b"), 5),
    ]
    assert answer[1] == {
        **{"path": str(folder / "b"), "name": "b", "imageCount": 5, "imageCountIsComplete": True},
        **{"selected": False, "ignored": False, "trainedCount": 0, "lastTrainedAt": None, "trainingStatus": "never"},
    }


def test_what_is_trained_is_told_from_never_to_complete(
    client: httpx.Client, folder: Path, gateway: Gateway, alter: Alter
) -> None:
    make_tree(folder, {"whole": 2, "whole/deep": 1, "part": 2, "none": 1, "other": 1})
    session_id = gateway.create(client, folder, subdirectories=["whole", "part", "none"])
    client.post(f"{SESSIONS}/{session_id}/start")
    wait_for_total(client, session_id, 6)

    under_way = listed(client, folder)
    assert {name: one["trainingStatus"] for name, one in under_way.items()} == {
        **dict.fromkeys(("whole", "part", "none"), "in_progress"),
        "other": "never",
    }
    assert listed(client, folder / "whole")["deep"]["trainingStatus"] == "in_progress"
    assert listed(client, folder.parent)[folder.name]["trainingStatus"] == "in_progress"
    assert {name for name, one in under_way.items() if one["selected"]} == {"whole", "part", "none"}

    trained = [os.fsencode(folder / name) for name in ("whole/000.jpg", "whole/001.jpg", "whole/deep/000.jpg")]
    alter(
        "UPDATE assets SET trained_at = now() WHERE path = ANY(:paths)",
        paths=[*trained, os.fsencode(folder / "part" / "000.jpg")],
    )
    assert listed(client, folder)["whole"]["trainingStatus"] == "complete"
    assert client.post(f"{SESSIONS}/{session_id}/cancel").status_code == 200

    after = listed(client, folder)
    assert {name: (one["trainedCount"], one["trainingStatus"]) for name, one in after.items()} == {
        "whole": (3, "complete"),
        "part": (1, "partial"),
        "none": (0, "never"),
        "other": (0, "never"),
    }
    assert after["whole"]["lastTrainedAt"].endswith("Z")
    make_photos(folder / "whole", 3)
    assert listed(client, folder)["whole"]["trainingStatus"] == "partial"
    for asked in (True, False):
        assert listed(client, folder, include_training_status=asked) == listed(client, folder)


def test_an_ignored_directory_is_not_listed_until_it_is_asked_for_or_heeded_again(
    client: httpx.Client, folder: Path
) -> None:
    make_tree(folder, {"a/deep": 1, "b": 2})
    answer = ignore(client, "POST", folder / "a", reason="screenshots")

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body.keys() == {"status", "path", "ignoredAt"}
    assert (body["status"], body["path"]) == ("ignored", str(folder / "a"))
    refused(ignore(client, "POST", folder / "a"), 409, "already_ignored")

    assert listed(client, folder).keys() == {"b"}
    assert listed(client, folder.parent)[folder.name]["imageCount"] == 2
    assert {name: one["ignored"] for name, one in listed(client, folder, include_ignored=True).items()} == {
        "a": True,
        "b": False,
    }
    assert listed(client, folder / "a", include_ignored=True)["deep"]["ignored"] is True
    kept = client.get(f"{DIRECTORIES}/ignored").json()["directories"]
    mine = [one for one in kept if one["path"] == str(folder / "a")]
    assert mine == [
        {"path": str(folder / "a"), "reason": "screenshots", "ignoredAt": body["ignoredAt"], "ignoredBy": None}
    ]

    (folder / "a" / "deep" / "000.jpg").unlink()
    (folder / "a" / "deep").rmdir()
    (folder / "a").rmdir()
    again = ignore(client, "DELETE", folder / "a")
    assert (again.status_code, again.json()) == (200, {**body, "status": "restored"})
    refused(ignore(client, "DELETE", folder / "a"), 404, "not_found")


def test_a_directory_to_heed_again_may_be_named_in_the_query(client: httpx.Client, folder: Path) -> None:
    ignored = ignore(client, "POST", folder).json()

    answer = client.delete(f"{DIRECTORIES}/ignore", params={"path": str(folder)})

    assert (answer.status_code, answer.json()) == (200, {**ignored, "status": "restored"})
    refused(client.delete(f"{DIRECTORIES}/ignore", params={"path": str(folder)}), 404, "not_found")
    refused(client.delete(f"{DIRECTORIES}/ignore"), 422, "invalid_request")


def test_a_session_leaves_ignored_directories_out(client: httpx.Client, folder: Path, gateway: Gateway) -> None:
    make_tree(folder, {"a": 1, "b": 2})
    ignore(client, "POST", folder / "a")
    session_id = gateway.create(client, folder)
    client.post(f"{SESSIONS}/{session_id}/start")

    wait_for_total(client, session_id, 2)


def test_a_scan_says_what_a_session_would_find(client: httpx.Client, folder: Path) -> None:
    make_tree(folder, {".": 1, "a": 2, "a/deep/er": 3, "b": 0, "c": 1})
    (folder / "a" / "X.PNG").write_bytes(b"x")

    def scan(**body: Any) -> dict[str, Any]:
        answer = client.post(f"{DIRECTORIES}/scan", json={"rootPath": str(folder), **body})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found.keys() == {"rootPath", "subdirectories", "totalSubdirectories", "totalImages", "isComplete"}
        assert found["totalSubdirectories"] == len(found["subdirectories"])
        return found

    def counts(found: dict[str, Any]) -> dict[str, int]:
        return {os.path.relpath(one["path"], folder): one["imageCount"] for one in found["subdirectories"]}

    found = scan()
    assert (found["rootPath"], found["totalImages"], found["isComplete"]) == (str(folder), 8, True)
    assert counts(found) == {"a": 3, "a/deep/er": 3, "c": 1}
    flat = scan(recursive=False)
    assert (counts(flat), flat["totalImages"]) == ({"a": 3, "c": 1}, 1)
    for extensions in (["png"], [".PNG"]):
        some = scan(extensions=extensions)
        assert (counts(some), some["totalImages"]) == ({"a": 1}, 1)
    assert counts(scan(root_path=str(folder)) | {}) == counts(found)
    ignore(client, "POST", folder / "a" / "deep")
    assert counts(scan()) == {"a": 3, "c": 1}


def test_a_scan_compares_a_directorys_own_photos_with_what_of_them_is_trained(
    client: httpx.Client, folder: Path, gateway: Gateway, alter: Alter
) -> None:
    make_tree(folder, {"a": 1, "a/deep": 1})
    session_id = gateway.create(client, folder)
    client.post(f"{SESSIONS}/{session_id}/start")
    wait_for_total(client, session_id, 2)
    client.post(f"{SESSIONS}/{session_id}/cancel")
    alter("UPDATE assets SET trained_at = now() WHERE path = :path", path=os.fsencode(folder / "a/deep/000.jpg"))

    found = client.post(f"{DIRECTORIES}/scan", json={"rootPath": str(folder)}).json()["subdirectories"]

    assert [(one["imageCount"], one["trainedCount"], one["trainingStatus"]) for one in found] == [
        (1, 0, "never"),
        (1, 1, "complete"),
    ]


def test_a_preview_names_the_first_photos_and_counts_all(client: httpx.Client, folder: Path) -> None:
    make_photos(folder, 3)
    for number in range(100, 220):
        (folder / f"{number}.jpg").write_bytes(b"12345")
    os.utime(folder / "000.jpg", (1_700_000_000, 1_700_000_000))
    (folder / "notes.txt").write_bytes(b"x")

    body = client.get(f"{DIRECTORIES}/preview", params={"path": str(folder)}).json()

    assert (body["directory"], body["imageCount"], len(body["images"])) == (str(folder), 123, 100)
    assert body["images"][0] == {
        "filename": "000.jpg",
        "fullPath": str(folder / "000.jpg"),
        "sizeBytes": (folder / "000.jpg").stat().st_size,
        "modifiedAt": "2023-11-14T22:13:20.000Z",
    }
    assert [one["filename"] for one in body["images"]] == sorted(one["filename"] for one in body["images"])


def test_a_thumbnail_of_a_photo_that_nobody_knows_yet(client: httpx.Client, folder: Path) -> None:
    picture = Image.new("RGB", (1000, 500), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "a.jpg", exif=exif)
    parameters = {"path": str(folder / "a.jpg")}

    answer = client.get(f"{DIRECTORIES}/preview/thumbnail", params=parameters)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(answer.content)).size == (200, 400)
    tag = answer.headers["etag"]
    again = client.get(f"{DIRECTORIES}/preview/thumbnail", params=parameters, headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    picture.resize((50, 50)).save(folder / "a.jpg")
    anew = client.get(f"{DIRECTORIES}/preview/thumbnail", params=parameters, headers={"if-none-match": tag})
    assert (anew.status_code, Image.open(io.BytesIO(anew.content)).size) == (200, (50, 50))


def test_a_thumbnail_of_what_is_no_photo_is_refused(client: httpx.Client, folder: Path) -> None:
    (folder / "notes.txt").write_bytes(b"secret")
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "directory.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")

    for name, status, code in (
        ("notes.txt", 409, "image_unreadable"),
        ("gone.jpg", 400, "photo_not_found"),
        ("directory.jpg", 409, "image_unreadable"),
        ("pipe.jpg", 409, "image_unreadable"),
        ("broken.jpg", 409, "image_unreadable"),
        ("empty.jpg", 409, "image_unreadable"),
    ):
        answer = client.get(f"{DIRECTORIES}/preview/thumbnail", params={"path": str(folder / name)})
        assert "secret" not in str(refused(answer, status, code))


def ask_everywhere(client: httpx.Client, path: str) -> dict[str, httpx.Response]:
    """Every endpoint that takes a directory, asked for this one."""
    return {
        "list": client.get(DIRECTORIES, params={"path": path}),
        "scan": client.post(f"{DIRECTORIES}/scan", json={"rootPath": path}),
        "preview": client.get(f"{DIRECTORIES}/preview", params={"path": path}),
        "ignore": ignore(client, "POST", path),
    }


@pytest.mark.parametrize(
    "named", ["/etc", "/no/such/thing", "relative", "/", "{folder}/../..", "{folder}/out", "\0", "{folder}/\0/.."]
)
def test_what_is_not_under_a_root_is_refused_alike_whether_it_is_there_or_not(
    client: httpx.Client, folder: Path, named: str
) -> None:
    (folder / "out").symlink_to("/etc")
    (folder / "out.jpg").symlink_to("/etc/passwd")
    path = named.format(folder=folder)

    messages = {
        refused(answer, 400, "path_not_allowed")["message"]
        for answer in (
            *ask_everywhere(client, path).values(),
            ignore(client, "DELETE", path),
            client.get(f"{DIRECTORIES}/preview/thumbnail", params={"path": path}),
            client.get(f"{DIRECTORIES}/preview/thumbnail", params={"path": str(folder / "out.jpg")}),
        )
    }
    assert len(messages) == 1


def test_what_is_under_a_root_and_no_directory_says_what_it_is(client: httpx.Client, folder: Path) -> None:
    make_photos(folder, 1)
    (folder / "loop").symlink_to("loop")

    for name, code in (
        ("gone", "directory_not_found"),
        ("000.jpg", "not_a_directory"),
        ("loop", "directory_not_readable"),
    ):
        for answer in ask_everywhere(client, str(folder / name)).values():
            refused(answer, 400, code)


def test_links_that_lead_out_are_neither_listed_nor_previewed(client: httpx.Client, folder: Path) -> None:
    (folder / "out").symlink_to("/etc")
    (folder / "passwd.jpg").symlink_to("/etc/passwd")

    assert listed(client, folder) == {}
    preview = client.get(f"{DIRECTORIES}/preview", params={"path": str(folder)}).json()
    assert preview["images"] == []


def test_a_circle_of_links_is_counted_once(client: httpx.Client, folder: Path) -> None:
    make_tree(folder, {"a": 2})
    (folder / "a" / "up").symlink_to(folder)

    assert listed(client, folder)["a"]["imageCount"] == 2


def test_names_that_are_no_text_can_be_shown_chosen_and_trained(
    client: httpx.Client, folder: Path, gateway: Gateway
) -> None:
    directory = os.path.join(os.fsencode(folder), b"caf\xe9\xff")  # noqa: PTH118 - names are bytes
    os.mkdir(directory)  # noqa: PTH102
    make_photos(Path(os.fsdecode(directory)), 2)
    os.rename(directory + b"/000.jpg", directory + b"/\xfe.jpg")  # noqa: PTH104

    shown = listed(client, folder)["caf\\xe9\\xff"]
    assert (shown["path"], shown["imageCount"]) == (f"{folder}/caf\\xe9\\xff", 2)

    # As it is shown, as bytes in a query, and as surrogates in JSON: all three name it.
    as_bytes = client.get(f"{DIRECTORIES}/preview?path={folder}/caf%E9%FF").json()
    as_shown = client.get(f"{DIRECTORIES}/preview", params={"path": shown["path"]}).json()
    assert as_bytes == as_shown
    assert [one["filename"] for one in as_shown["images"]] == ["001.jpg", "\\xfe.jpg"]
    scanned = client.post(
        f"{DIRECTORIES}/scan",
        content=b'{"rootPath": "%s/caf\\udce9\\udcff"}' % os.fsencode(folder),
        headers={"content-type": "application/json"},
    )
    assert (scanned.status_code, scanned.json()["totalImages"]) == (200, 2)
    picture = client.get(f"{DIRECTORIES}/preview/thumbnail", params={"path": as_shown["images"][1]["fullPath"]})
    assert picture.status_code == 200
    session_id = gateway.create(client, folder, subdirectories=[shown["path"]])
    client.post(f"{SESSIONS}/{session_id}/start")
    wait_for_total(client, session_id, 2)


@pytest.mark.parametrize(
    "request_", [("GET", "/preview"), ("GET", "/preview?path="), ("GET", "?path="), ("GET", "/preview/thumbnail")]
)
def test_a_path_that_is_missing_or_empty_is_422(client: httpx.Client, request_: tuple[str, str]) -> None:
    method, path = request_

    refused(client.request(method, f"{DIRECTORIES}{path}"), 422, "invalid_request")


@pytest.mark.parametrize("body", [{}, {"rootPath": ""}, {"rootPath": 7}, {"rootPath": "/x", "extensions": ["\0"]}, []])
def test_a_scan_of_nonsense_is_422(client: httpx.Client, body: Any) -> None:
    refused(client.post(f"{DIRECTORIES}/scan", json=body), 422, "invalid_request")


def test_a_sessions_directories_are_chosen_until_it_is_started(
    client: httpx.Client, folder: Path, gateway: Gateway, alter: Alter
) -> None:
    make_tree(folder, {"a": 2, "b": 1, "b/deep": 1})
    session_id = gateway.create(client, folder, subdirectories=["a", "b"])
    url = f"{SESSIONS}/{session_id}/subdirectories"

    before = client.get(url).json()

    assert [(one["path"], one["name"], one["selected"], one["status"]) for one in before] == [
        (str(folder / name), name, True, "pending") for name in ("a", "b")
    ]
    assert before[0].keys() == {
        *("id", "sessionId", "path", "name", "selected", "imageCount", "trainedCount", "status", "createdAt")
    }
    assert (before[0]["sessionId"], before[0]["imageCount"], before[0]["trainedCount"]) == (session_id, None, None)
    answer = client.patch(url, json=[{"id": before[0]["id"], "selected": False}])
    assert answer.status_code == 200
    assert answer.json() == [{**before[0], "selected": False}, before[1]]
    assert client.get(url).json() == answer.json()

    client.post(f"{SESSIONS}/{session_id}/start")
    wait_for_total(client, session_id, 2)
    running = client.get(url).json()
    assert [(one["imageCount"], one["trainedCount"], one["status"]) for one in running] == [
        (0, 0, "pending"),
        (2, 0, "training"),
    ]
    body = refused(client.patch(url, json=[{"id": before[0]["id"], "selected": True}]), 409, "not_allowed_now")
    assert body["error"]["details"] == {"status": "running", "allowed": ["pause", "cancel"]}
    alter("UPDATE assets SET trained_at = now() WHERE path >= :path", path=os.fsencode(folder / "b"))
    assert client.get(url).json()[1]["status"] == "trained"


def test_a_session_without_chosen_directories_has_its_root(
    client: httpx.Client, folder: Path, gateway: Gateway
) -> None:
    (only,) = client.get(f"{SESSIONS}/{gateway.create(client, folder)}/subdirectories").json()

    assert (only["path"], only["selected"]) == (str(folder), True)


def test_choosing_nothing_or_what_is_not_the_sessions_is_refused_and_changes_nothing(
    client: httpx.Client, folder: Path, gateway: Gateway
) -> None:
    make_tree(folder, {"a": 1, "b": 1})
    one, other = (gateway.create(client, folder, subdirectories=["a", "b"]) for _ in range(2))
    url = f"{SESSIONS}/{one}/subdirectories"
    mine, others = (client.get(f"{SESSIONS}/{id_}/subdirectories").json() for id_ in (one, other))

    def choose(rows: list[dict[str, Any]], *, selected: bool) -> httpx.Response:
        return client.patch(url, json=[{"id": row["id"], "selected": selected} for row in rows])

    refused(choose(mine, selected=False), 422, "invalid_request")
    refused(choose([mine[0], others[0]], selected=False), 404, "not_found")
    refused(client.patch(f"{SESSIONS}/{2**62}/subdirectories", json=[{"id": 1, "selected": True}]), 404, "not_found")
    refused(client.get(f"{SESSIONS}/{2**62}/subdirectories"), 404, "not_found")
    bodies: list[Any] = [
        [],
        {},
        [{"id": 0, "selected": True}],
        [{"id": 2**63, "selected": True}],
        [{"id": mine[0]["id"]}],
    ]
    for body in bodies:
        refused(client.patch(url, json=body), 422, "invalid_request")
    assert client.get(url).json() == mine


def test_the_progress_says_how_many_photos_were_found_while_they_are_looked_for(
    client: httpx.Client, folder: Path, gateway: Gateway, alter: Alter
) -> None:
    session_id = gateway.create(client, folder)
    # At once: the gateway would take up a running session that nobody has.
    alter(
        """WITH held AS (
            INSERT INTO leases (session_id, holder, epoch, expires_at) VALUES (:id, 'x', 1, now() + interval '1 hour'))
        UPDATE sessions SET status = 'running', photos_found = 17, updated_at = now() WHERE id = :id""",
        id=session_id,
    )

    training = client.get(f"{SESSIONS}/{session_id}/progress-unified").json()["phases"]["training"]

    assert (training["stage"], training["stats"]["imagesFound"]) == ("discovering", 17)
    assert client.get(f"{SESSIONS}/{session_id}").json()["status"] == "discovering"
    alter("DELETE FROM sessions WHERE id = :id", id=session_id)
