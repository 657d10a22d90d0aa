"""Persons, groups and faces over REST: shapes, changes and refusals, as the contract has them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from tests.contract.test_sessions import PAGE_KEYS, UTC, refused
from tests.support.emptied_database import emptied
from tests.support.people import library, regroup
from tests.support.real_servers import PostgresServer, run_apart
from tests.support.running_gateway import Gateway, running_gateway
from triptych_gateway.catalog.database import create_engine

FACES = "/api/v1/faces"
PERSONS = f"{FACES}/persons"
PERSON_KEYS = {"id", "name", "status", "faceCount", "assetCount", "coverFaceId", "createdAt", "updatedAt"}
FACE_KEYS = {
    *("id", "assetId", "path", "personId", "groupId", "box", "score", "probability", "model", "imageUrl", "cropUrl"),
}
GROUP_KEYS = {"id", "faceCount", "cohesion", "personId", "model", "sampleFaces"}
UNKNOWN = 2**62


@dataclass(frozen=True, kw_only=True)
class People:
    """A library of two groups and a face in none; its session, its faces, and a session without any."""

    session_id: int
    empty_session_id: int
    face_ids: list[int]
    ada: int
    """The person of the first three faces."""
    ben: int
    """The person of the next two."""


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """A gateway of this file's own: others rely on a library without faces."""
    name = postgres.create_database()
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(database_url=postgres.url(name), nats_url=shared_nats_url, folder=folder) as running:
        yield running
    postgres.drop_database(name)


@pytest.fixture
def people(gateway: Gateway, client: httpx.Client) -> People:
    """The library as it is after a first clustering."""

    async def make() -> tuple[int, int, list[int]]:
        engine = create_engine(emptied(gateway.database_url))
        async with engine.begin() as connection:
            session_id, ids = await library(connection, [2, 2, 2])
            empty_session_id, _ = await library(connection, [0], folder=b"/elsewhere")
            await regroup(connection, session_id, ids[:3], ids[3:5], outliers=ids[5:])
        await engine.dispose()
        return session_id, empty_session_id, ids

    session_id, empty_session_id, ids = run_apart(make())
    ada, ben = (one["id"] for one in client.get(PERSONS).json()["items"])
    return People(session_id=session_id, empty_session_id=empty_session_id, face_ids=ids, ada=ada, ben=ben)


def ok(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_persons_are_listed_with_the_contracts_keys_those_with_most_faces_first(
    client: httpx.Client, people: People
) -> None:
    page = ok(client.get(PERSONS, params={"page_size": 1}))

    assert page.keys() == PAGE_KEYS
    assert (page["total"], page["page"], page["pageSize"], page["hasMore"]) == (2, 1, 1, True)
    (person,) = page["items"]
    assert person.keys() == PERSON_KEYS
    assert UTC.fullmatch(person["createdAt"])
    assert UTC.fullmatch(person["updatedAt"])
    del person["createdAt"], person["updatedAt"]
    assert person == {
        "id": people.ada,
        "name": None,
        "status": "active",
        "faceCount": 3,
        "assetCount": 2,
        "coverFaceId": people.face_ids[0],
    }
    last = ok(client.get(PERSONS, params={"page_size": 1, "page": 2}))
    assert ([one["id"] for one in last["items"]], last["hasMore"]) == ([people.ben], False)
    assert ok(client.get(PERSONS, params={"page_size": 1, "page": 3}))["items"] == []


def set_missing(gateway: Gateway, face_ids: list[int], *, missing: bool) -> None:
    """Take the photos of some faces away, or bring them back, as a discovery does."""

    async def work() -> None:
        engine = create_engine(gateway.database_url)
        async with engine.begin() as connection:
            await connection.execute(
                text("""
                    UPDATE assets SET missing_at = CASE WHEN :missing THEN now() END
                    WHERE id IN (SELECT asset_id FROM faces WHERE id = ANY(:face_ids))"""),
                {"missing": missing, "face_ids": face_ids},
            )
        await engine.dispose()

    run_apart(work())


def test_who_has_neither_a_name_nor_a_photo_that_is_there_is_listed_once_one_is_back(
    gateway: Gateway, client: httpx.Client, people: People
) -> None:
    def listed(**params: Any) -> list[int]:
        first, last = (ok(client.get(PERSONS, params={**params, "page_size": 1, "page": page})) for page in (1, 2))
        found = [one["id"] for one in first["items"] + last["items"]]
        assert (first["total"], first["hasMore"]) == (len(found), len(found) > 1)
        return found

    set_missing(gateway, people.face_ids[3:5], missing=True)
    assert listed() == listed(status="all") == [people.ada]
    assert ok(client.get(f"{PERSONS}/{people.ben}"))["faceCount"] == 0

    ok(client.patch(f"{PERSONS}/{people.ben}", json={"name": "Ben"}))
    assert listed() == listed(status="all") == [people.ada, people.ben]
    ok(client.patch(f"{PERSONS}/{people.ben}", json={"name": None}))
    assert listed() == [people.ada]

    set_missing(gateway, people.face_ids[3:5], missing=False)
    assert listed() == listed(status="all") == [people.ada, people.ben]


def test_persons_are_found_by_status_session_and_part_of_their_name(client: httpx.Client, people: People) -> None:
    def listed(**params: Any) -> list[int]:
        page = ok(client.get(PERSONS, params=params))
        assert page["total"] == len(page["items"])
        return [one["id"] for one in page["items"]]

    ok(client.patch(f"{PERSONS}/{people.ada}", json={"name": "  Ödön von Horváth "}))
    ok(client.patch(f"{PERSONS}/{people.ben}", json={"status": "hidden", "name": "100% _Ben_"}))

    assert listed() == listed(status="active") == [people.ada]
    assert listed(status="hidden") == [people.ben]
    assert listed(status="all") == [people.ada, people.ben]
    assert listed(q="öDÖN") == listed(q=" HORVÁTH ") == [people.ada]
    assert listed(q="%", status="all") == listed(q="_b", status="all") == [people.ben]
    assert listed(q="b") == []
    assert listed(q="") == [people.ada]
    assert listed(session_id=people.session_id, status="all") == [people.ada, people.ben]
    assert listed(session_id=people.session_id, q="ben", status="all") == [people.ben]
    assert listed(session_id=people.empty_session_id, status="all") == []
    refused(client.get(PERSONS, params={"session_id": UNKNOWN}), 404, "not_found")
    for params in ({"status": "gone"}, {"page": 0}, {"page_size": 101}, {"session_id": 2**63}, {"q": "\0"}):
        refused(client.get(PERSONS, params=params), 422, "invalid_request")


def test_a_person_is_named_hidden_and_given_a_cover_one_thing_at_a_time(client: httpx.Client, people: People) -> None:
    url = f"{PERSONS}/{people.ada}"

    named = ok(client.patch(url, json={"name": " Ada\t"}))
    assert (named["name"], named["status"]) == ("Ada", "active")
    covered = ok(client.patch(url, json={"cover_face_id": people.face_ids[1]}))
    assert (covered["name"], covered["coverFaceId"]) == ("Ada", people.face_ids[1])
    hidden = ok(client.patch(url, json={"status": "hidden"}))
    assert (hidden["name"], hidden["status"], hidden["coverFaceId"]) == ("Ada", "hidden", people.face_ids[1])
    assert ok(client.patch(url, json={})) == ok(client.get(url)) == hidden
    cleared = ok(client.patch(url, json={"name": None, "coverFaceId": None}))
    assert (cleared["name"], cleared["coverFaceId"]) == (None, people.face_ids[0])


def test_changes_that_make_no_sense_are_refused(client: httpx.Client, people: People) -> None:
    url = f"{PERSONS}/{people.ada}"

    senseless: list[Any] = [
        {"name": "x" * 201},
        {"name": "   "},
        {"name": "\0"},
        {"name": 5},
        {"status": None},
        {"status": "gone"},
        {"coverFaceId": 0},
        {"coverFaceId": 2**63},
        [],
    ]
    for body in senseless:
        refused(client.patch(url, json=body), 422, "invalid_request")
    refused(client.patch(url, json={"coverFaceId": UNKNOWN}), 404, "not_found")
    refused(client.patch(url, json={"coverFaceId": people.face_ids[3]}), 409, "not_allowed_now")
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("GET", "/faces"),
        ("POST", "/merge"),
    ):
        answer = client.request(
            method, f"{PERSONS}/{UNKNOWN}{path}", json=None if method == "GET" else {"personIds": [people.ada]}
        )
        refused(answer, 404, "not_found")
    refused(client.get(f"{PERSONS}/{2**63}"), 422, "invalid_request")
    assert ok(client.get(url))["name"] is None


def test_a_persons_faces_are_a_page_of_faces(client: httpx.Client, people: People) -> None:
    page = ok(client.get(f"{PERSONS}/{people.ada}/faces", params={"page_size": 2, "page": 2}))

    assert (page["total"], page["hasMore"]) == (3, False)
    (face,) = page["items"]
    assert face.keys() == FACE_KEYS
    assert face["box"].keys() == {"x", "y", "width", "height"}
    assert (face["id"], face["personId"], face["cropUrl"]) == (
        people.face_ids[2],
        people.ada,
        f"{FACES}/{people.face_ids[2]}/crop",
    )


def test_merging_persons_keeps_the_named_one_and_forgets_the_other(client: httpx.Client, people: People) -> None:
    ok(client.patch(f"{PERSONS}/{people.ben}", json={"name": "Ben"}))

    merged = ok(client.post(f"{PERSONS}/{people.ada}/merge", json={"person_ids": [people.ben]}))

    assert (merged["id"], merged["name"], merged["faceCount"]) == (people.ben, "Ben", 5)
    refused(client.get(f"{PERSONS}/{people.ada}"), 404, "not_found")
    refused(client.post(f"{PERSONS}/{people.ada}/merge", json={"personIds": [people.ben]}), 404, "not_found")
    assert ok(client.get(PERSONS))["total"] == 1
    assert {one["personId"] for one in ok(client.get(f"{FACES}/clusters"))["items"]} == {people.ben}


def test_merging_nobody_oneself_or_somebody_twice_is_refused(client: httpx.Client, people: People) -> None:
    for ids in ([], [people.ada], [people.ben, people.ada], [people.ben, people.ben], [0], None, ["x"], [2**63]):
        answer = client.post(f"{PERSONS}/{people.ada}/merge", json={"personIds": ids})
        refused(answer, 422, "invalid_request")
    assert ok(client.get(PERSONS))["total"] == 2


def test_persons_who_are_two_are_listed_with_each_other(client: httpx.Client, people: People) -> None:
    answer = ok(client.post(f"{PERSONS}/{people.ada}/different", json={"personIds": [people.ben]}))
    assert answer["id"] == people.ada

    for one, other in ((people.ada, people.ben), (people.ben, people.ada)):
        page = ok(client.get(f"{PERSONS}/{one}/different"))
        assert ([item["id"] for item in page["items"]], page["total"]) == ([other], 1)
    oneself = client.post(f"{PERSONS}/{people.ada}/different", json={"personIds": [people.ada]})
    refused(oneself, 422, "invalid_request")
    unknown = client.post(f"{PERSONS}/{people.ada}/different", json={"personIds": [UNKNOWN]})
    refused(unknown, 404, "not_found")
    refused(client.get(f"{PERSONS}/{UNKNOWN}/different"), 404, "not_found")


def test_a_face_is_given_to_a_person_taken_away_and_made_a_new_one(client: httpx.Client, people: People) -> None:
    url = f"{FACES}/{people.face_ids[0]}/person"

    given = ok(client.post(url, json={"personId": people.ben}))
    assert given.keys() == FACE_KEYS
    assert given["personId"] == people.ben
    assert ok(client.delete(url))["personId"] == people.ada
    assert ok(client.delete(url))["personId"] is None
    assert ok(client.delete(url))["personId"] is None
    fresh = ok(client.post(url, json={"person_id": None}))["personId"]
    assert fresh not in {None, people.ada, people.ben}
    assert ok(client.get(f"{PERSONS}/{fresh}"))["coverFaceId"] == people.face_ids[0]
    assert ok(client.get(f"{PERSONS}/{people.ada}"))["faceCount"] == 2


def test_corrections_of_what_is_not_there_are_refused(client: httpx.Client, people: People) -> None:
    url = f"{FACES}/{people.face_ids[0]}/person"

    refused(client.post(url, json={"personId": UNKNOWN}), 404, "not_found")
    refused(client.post(f"{FACES}/{UNKNOWN}/person", json={"personId": people.ada}), 404, "not_found")
    refused(client.delete(f"{FACES}/{UNKNOWN}/person"), 404, "not_found")
    senseless: list[Any] = [{}, {"personId": 0}, {"personId": 2**63}, {"personId": "x"}, []]
    for body in senseless:
        refused(client.post(url, json=body), 422, "invalid_request")


def test_a_face_that_no_clustering_has_placed_yet_cannot_be_corrected(
    gateway: Gateway, client: httpx.Client, people: People
) -> None:
    async def find_one_more() -> int:
        engine = create_engine(gateway.database_url)
        async with engine.begin() as connection:
            _, (face_id,) = await library(connection, [1], folder=b"/later")
        await engine.dispose()
        return face_id

    url = f"{FACES}/{run_apart(find_one_more())}/person"

    refused(client.post(url, json={"personId": people.ada}), 409, "not_allowed_now")
    refused(client.delete(url), 409, "not_allowed_now")


def test_unassigned_faces_are_those_in_no_group_that_nobody_named(client: httpx.Client, people: People) -> None:
    page = ok(client.get(f"{FACES}/unassigned"))

    assert page.keys() == PAGE_KEYS
    assert [(one["id"], one["personId"], one["groupId"]) for one in page["items"]] == [(people.face_ids[5], None, None)]
    ok(client.post(f"{FACES}/{people.face_ids[5]}/person", json={"personId": people.ada}))
    assert ok(client.get(f"{FACES}/unassigned"))["total"] == 0


def test_groups_are_listed_and_one_shows_its_faces_page_by_page(client: httpx.Client, people: People) -> None:
    page = ok(client.get(f"{FACES}/clusters", params={"session_id": people.session_id}))
    assert [(one["faceCount"], one["personId"]) for one in page["items"]] == [(3, people.ada), (2, people.ben)]
    assert page["items"][0].keys() == GROUP_KEYS
    assert [face["id"] for face in page["items"][0]["sampleFaces"]] == people.face_ids[:3]
    assert ok(client.get(f"{FACES}/clusters", params={"session_id": people.empty_session_id}))["total"] == 0

    url = f"{FACES}/clusters/{page['items'][0]['id']}"
    whole = ok(client.get(url))
    assert whole.keys() == GROUP_KEYS | {"faces", "page", "pageSize", "hasMore"}
    assert [face["id"] for face in whole["faces"]] == people.face_ids[:3]
    part = ok(client.get(url, params={"page_size": 2, "page": 1}))
    assert ([face["id"] for face in part["faces"]], part["hasMore"]) == (people.face_ids[:2], True)
    refused(client.get(f"{FACES}/clusters/{UNKNOWN}"), 404, "not_found")
