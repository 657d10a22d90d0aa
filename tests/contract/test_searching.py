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
MODEL = "scripted-clip/1"
# Every text and picture is [0.5, 0.5, 0.5, 0.5] to the scripted embedder.
VECTORS = {"same": "[1,1,1,1]", "like": "[1,1,1,0]", "unlike": "[1,0,0,0]", "opposite": "[-1,-1,-1,-1]"}
SCORES = {"same": 1.0, "like": 0.75**0.5, "unlike": 0.5, "opposite": -1.0}


@dataclass(frozen=True, kw_only=True)
class Library:
    """Photos by name, and a person whose face is in one of them."""

    ids: dict[str, int]
    person_id: int

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
        return Library(ids=ids, person_id=person_id)

    return run_apart(make())


def test_the_most_alike_come_first_with_their_cosine(client: httpx.Client, library: Library) -> None:
    answer = client.post(SEARCH, json={"text": "a dog"})

    assert library.names(answer) == list(SCORES)
    body = answer.json()
    assert body.keys() == {"model", "items"}
    assert body["model"] == MODEL
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


@pytest.mark.parametrize("name", ["not embedded", "changed since", "of another model", "gone"])
def test_a_photo_without_a_vector_that_counts_cannot_be_searched_by(
    client: httpx.Client, library: Library, name: str
) -> None:
    answer = client.post(SEARCH, json={"assetId": library.ids[name]})

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_embedded")


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
