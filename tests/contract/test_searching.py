"""Searching with an embedder that answers: the order, what is left out, and each way in which it can fail."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import pytest
from sqlalchemy import text

from tests.support.real_servers import PostgresServer, run_apart, wait_for
from tests.support.running_gateway import Gateway, running_gateway
from tests.support.scripted_workers import ScriptedWorkers, scripted_workers
from triptych_gateway.catalog.database import create_engine

SEARCH = "/api/v1/search"
INDEX = "/api/v1/search/index"
MODEL = "scripted-clip/1"
# Every text and picture is [0.5, 0.5, 0.5, 0.5] to the scripted embedder.
VECTORS = {"same": "[1,1,1,1]", "like": "[1,1,1,0]", "unlike": "[1,0,0,0]", "opposite": "[-1,-1,-1,-1]"}
SCORES = {"same": 1.0, "like": 0.75**0.5, "unlike": 0.5, "opposite": -1.0}


@dataclass(frozen=True, kw_only=True)
class Library:
    """Photos by name, a person whose face is in one of them, and a session of two."""

    ids: dict[str, int]
    person_id: int
    session_id: int

    def names(self, answer: httpx.Response) -> list[str]:
        """What was found, in order."""
        assert answer.status_code == 200, answer.text
        by_id = {asset_id: name for name, asset_id in self.ids.items()}
        return [by_id[item["asset"]["id"]] for item in answer.json()["items"]]


@pytest.fixture(scope="module")
def workers() -> Iterator[ScriptedWorkers]:
    with scripted_workers() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer,
    shared_nats_url: str,
    tmp_path_factory: pytest.TempPathFactory,
    workers: ScriptedWorkers,
) -> Iterator[Gateway]:
    name = postgres.create_database()
    folder = tmp_path_factory.mktemp("searching")
    with running_gateway(
        database_url=postgres.url(name), nats_url=shared_nats_url, folder=folder, **workers.settings()
    ) as running:
        with running.client() as client:
            wait_for(
                lambda: client.get("/health").json()["services"]["embedder"]["model"] == MODEL, "the model is known"
            )
        yield running
    postgres.drop_database(name)


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client() as opened:
        yield opened


@pytest.fixture
def embedder(workers: ScriptedWorkers) -> Iterator[Any]:
    """The embedder, which is afterwards as it was."""
    worker = workers.embedder
    model = worker.model
    yield worker
    worker.model, worker.trouble, worker.is_bad = model, None, lambda _: False


@pytest.fixture(scope="module")
def library(gateway: Gateway) -> Library:
    """Photos that are found, and others that have no vector to be found by."""

    async def make() -> Library:
        engine = create_engine(gateway.database_url)
        async with engine.begin() as connection:

            async def insert(statement: str, **values: object) -> int:
                inserted: int = (
                    await connection.execute(text(f"INSERT INTO {statement} RETURNING id"), values)
                ).scalar_one()
                return inserted

            async def photo(name: str, vector: str | None, *, model: str = MODEL, generation: int = 1) -> None:
                ids[name] = await insert(
                    "assets (path, size_bytes, modified_ns, version) VALUES (:path, 1, 1, 2)", path=b"/" + name.encode()
                )
                if vector is not None:
                    await connection.execute(
                        text(f"""
                            INSERT INTO embeddings (asset_id, model_id, generation, asset_version, embedding)
                            VALUES (:id, :model, :generation, 2, '{vector}')"""),  # noqa: S608 - a constant
                        {"id": ids[name], "model": model, "generation": generation},
                    )

            ids: dict[str, int] = {}
            for name, vector in VECTORS.items():
                await photo(name, vector)
            await photo("of another model", "[1,1,1]", model="another/1")
            await photo("of a restart that is not whole", VECTORS["same"], generation=7)
            await photo("changed since", VECTORS["same"])
            await connection.execute(text("UPDATE assets SET version = 3 WHERE id = :id"), {"id": ids["changed since"]})
            await photo("gone", VECTORS["same"])
            await connection.execute(text("UPDATE assets SET missing_at = now() WHERE id = :id"), {"id": ids["gone"]})
            await photo("not embedded", None)
            person_id = await insert("persons (name) VALUES ('Ada')")
            session_id = await insert("sessions (name, root_path, weights) VALUES ('two photos', '/', '{}')")
            for name in ("like", "unlike"):
                await insert(
                    "session_assets (session_id, asset_id) VALUES (:session_id, :asset_id)",
                    session_id=session_id,
                    asset_id=ids[name],
                )
            clustering_id = await insert(
                "clusterings (model_id, parameters, face_count, active) VALUES ('faces/1', '{}', 1, true)"
            )
            face_id = await insert(
                """faces (asset_id, model_id, generation, position, x, y, width, height, landmarks, score, embedding)
                   VALUES (:id, 'faces/1', 1, 0, 0, 0, 1, 1, '[]', 1, '[1]')""",
                id=ids["unlike"],
            )
            await connection.execute(
                text("""INSERT INTO face_places (face_id, clustering_id, asset_id, person_id)
                        VALUES (:face_id, :clustering_id, :asset_id, :person_id)"""),
                {
                    "face_id": face_id,
                    "clustering_id": clustering_id,
                    "asset_id": ids["unlike"],
                    "person_id": person_id,
                },
            )
        await engine.dispose()
        return Library(ids=ids, person_id=person_id, session_id=session_id)

    made = run_apart(make())
    with gateway.client() as client:
        wait_for(lambda: spaces(client).get("another/1", {}).get("photos") == 1, "the vectors are in their tables")
    return made


def spaces(client: httpx.Client) -> dict[str, Any]:
    """What is searched, by model; only what nothing waits for."""
    answer = client.get(INDEX)
    assert answer.status_code == 200, answer.text
    return {space["model"]: space for space in answer.json()["spaces"] if space["waiting"] == 0}


def test_the_most_alike_come_first_with_their_cosine(client: httpx.Client, library: Library) -> None:
    answer = client.post(SEARCH, json={"text": "a dog"})

    assert library.names(answer) == list(SCORES)
    body = answer.json()
    assert body.keys() == {"model", "items", "otherModels"}
    assert body["model"] == MODEL
    assert body["otherModels"] == [{"model": "another/1", "photos": 1}]
    assert [item["score"] for item in body["items"]] == pytest.approx(list(SCORES.values()), abs=1e-6)
    assert body["items"][0]["asset"]["path"] == "/same"


@pytest.mark.parametrize("field", ["image", "file"])
def test_a_picture_is_searched_by_like_a_text(client: httpx.Client, library: Library, field: str) -> None:
    answer = client.post(SEARCH, files={field: ("a.jpg", b"a picture", "image/jpeg")}, data={"limit": "2"})

    assert library.names(answer) == ["same", "like"]


def test_a_photo_of_the_library_finds_others_and_not_itself(client: httpx.Client, library: Library) -> None:
    answer = client.post(SEARCH, json={"assetId": library.ids["unlike"], "limit": 100})

    assert library.names(answer) == ["like", "same", "opposite"]
    in_snake_case = client.post(SEARCH, json={"asset_id": library.ids["unlike"], "limit": 1})
    assert library.names(in_snake_case) == ["like"]


def test_a_person_narrows_it_to_the_photos_with_their_face(client: httpx.Client, library: Library) -> None:
    person_id = library.person_id

    assert library.names(client.post(SEARCH, json={"text": "a dog", "personId": person_id})) == ["unlike"]
    files = {"image": ("a.jpg", b"a picture", "image/jpeg")}
    assert library.names(client.post(SEARCH, files=files, data={"personId": str(person_id)})) == ["unlike"]
    unknown = client.post(SEARCH, json={"text": "a dog", "personId": 2**62})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


def test_a_session_narrows_it_to_its_photos_alone_and_with_a_person(client: httpx.Client, library: Library) -> None:
    session_id = library.session_id

    assert library.names(client.post(SEARCH, json={"text": "a dog", "sessionId": session_id})) == ["like", "unlike"]
    in_snake_case = client.post(SEARCH, json={"assetId": library.ids["like"], "session_id": session_id})
    assert library.names(in_snake_case) == ["unlike"]
    files = {"image": ("a.jpg", b"a picture", "image/jpeg")}
    both = {"personId": str(library.person_id), "sessionId": str(session_id)}
    assert library.names(client.post(SEARCH, files=files, data=both)) == ["unlike"]
    assert library.names(client.post(SEARCH, json={"assetId": library.ids["unlike"], **both})) == []
    unknown = client.post(SEARCH, json={"text": "a dog", "sessionId": 2**62})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize("name", ["not embedded", "changed since", "of another model", "gone"])
def test_a_photo_without_a_vector_that_counts_cannot_be_searched_by(
    client: httpx.Client, library: Library, name: str
) -> None:
    answer = client.post(SEARCH, json={"assetId": library.ids[name]})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_embedded")
    others = ["another/1"] if name == "of another model" else []
    assert answer.json()["error"]["details"] == {"model": MODEL, "otherModels": others}


def test_the_other_model_is_searched_once_it_runs_and_no_vector_is_compared_with_those_of_the_first(
    client: httpx.Client, library: Library, embedder: Any
) -> None:
    def runs(model_id: str) -> None:
        embedder.model = dataclasses.replace(embedder.model, model_id=model_id)
        wait_for(
            lambda: client.get("/health").json()["services"]["embedder"]["model"] == model_id, "the model is known"
        )

    ids = library.ids
    try:
        runs("another/1")
        assert spaces(client)["another/1"]["isActive"]
        assert not spaces(client)[MODEL]["isActive"]
        answer = client.post(SEARCH, json={"assetId": ids["of another model"]})
        assert (answer.json()["model"], answer.json()["items"]) == ("another/1", [])
        assert [one["model"] for one in answer.json()["otherModels"]] == [MODEL]
        refused = client.post(SEARCH, json={"assetId": ids["same"]})
        assert refused.json()["error"]["details"] == {"model": "another/1", "otherModels": [MODEL]}
    finally:
        runs(MODEL)


def test_the_index_is_told_and_built_anew_when_that_is_asked_for(client: httpx.Client, library: Library) -> None:
    before = spaces(client)[MODEL]
    assert before["isActive"]
    assert (before["dimension"], before["method"], before["state"]) == (4, "exact", "ready")

    for _ in range(2):
        asked = client.post(f"{INDEX}/rebuild", params={"model": MODEL})
        assert asked.status_code == 202, asked.text

    wait_for(
        lambda: spaces(client)[MODEL]["builtAt"] > before["builtAt"] and spaces(client)[MODEL]["state"] == "ready",
        "it is built anew",
    )
    assert spaces(client)[MODEL]["photos"] == before["photos"]
    assert library.names(client.post(SEARCH, json={"text": "a dog"})) == list(SCORES)
    unknown = client.post(f"{INDEX}/rebuild", params={"model": "unknown/1"})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


def test_a_model_that_cannot_read_says_so_and_still_finds_by_picture(
    client: httpx.Client, library: Library, embedder: Any
) -> None:
    embedder.model = dataclasses.replace(embedder.model, has_text_tower=False)

    answer = client.post(SEARCH, json={"text": "a dog"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "no_text_tower")
    assert library.names(client.post(SEARCH, files={"image": ("a.jpg", b"x", "image/jpeg")}))


def test_a_picture_that_cannot_be_decoded_is_400_with_the_reason(client: httpx.Client, embedder: Any) -> None:
    embedder.is_bad = lambda _: True

    answer = client.post(SEARCH, files={"image": ("a.jpg", b"x", "image/jpeg")})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "picture_unreadable")
    assert answer.json()["error"]["details"] == {"reason": "corrupt"}


@pytest.mark.parametrize("trouble", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_an_embedder_that_is_away_or_full_is_503_and_known_photos_are_found_all_the_same(
    client: httpx.Client, library: Library, embedder: Any, trouble: grpc.StatusCode
) -> None:
    embedder.trouble = trouble

    for answer in (
        client.post(SEARCH, json={"text": "a dog"}),
        client.post(SEARCH, files={"image": ("a.jpg", b"x", "image/jpeg")}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_away")
        assert answer.headers["retry-after"].isdecimal()
    assert library.names(client.post(SEARCH, json={"assetId": library.ids["same"], "limit": 1})) == ["like"]
