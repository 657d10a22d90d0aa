"""An old catalogue under the present gateway, which upgrades it when it starts."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.old_catalogue import CHOSEN, PENDING, WHOLE_ROOT, WITHOUT_FACES, write_old_rows
from tests.support.real_servers import PostgresServer, run_apart
from tests.support.running_gateway import running_gateway


@pytest.fixture(scope="module")
def old(
    postgres: PostgresServer, shared_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a gateway over a database of the first release."""
    name = postgres.create_database(migrated=False)
    url = postgres.url(name)
    run_apart(write_old_rows(url))
    folder = tmp_path_factory.mktemp("old-gateway")
    with running_gateway(database_url=url, nats_url=shared_nats_url, folder=folder) as gateway, gateway.client() as one:
        yield one
    postgres.drop_database(name)


def test_a_session_without_a_face_detection_run_shows_training_as_it_was_and_the_rest_pending(
    old: httpx.Client,
) -> None:
    answer = old.get(f"/api/v1/training/sessions/{WITHOUT_FACES}/progress-unified")

    assert answer.status_code == 200
    body = answer.json()
    training, detection, clustering = (body["phases"][one] for one in ("training", "faceDetection", "clustering"))
    assert training["status"] == "completed"
    assert (training["progress"]["current"], training["progress"]["total"]) == (2, 2)
    assert training["progress"]["percentage"] == 100.0
    assert [detection["status"], clustering["status"]] == ["pending", "pending"]
    assert body["phases"]["face_detection"] == detection
    assert (body["overallStatus"], body["overallProgress"]["percentage"]) == ("completed", 100.0)


@pytest.mark.parametrize(
    ("session_id", "status", "images"),
    [(WHOLE_ROOT, "completed", 3), (CHOSEN, "paused", 3), (PENDING, "pending", 3), (WITHOUT_FACES, "completed", 2)],
)
def test_old_sessions_their_jobs_and_problems_are_shown(
    old: httpx.Client, session_id: int, status: str, images: int
) -> None:
    path = f"/api/v1/training/sessions/{session_id}"
    session = old.get(path).json()
    assert (session["status"], session["totalImages"]) == (status, images)
    assert old.get(f"{path}/progress").status_code == 200
    assert old.get(f"{path}/jobs").json()["total"] == sum(old.get(f"{path}/progress").json()["jobsSummary"].values())
    assert old.get(f"{path}/problems").json()["total"] == (1 if session_id == WHOLE_ROOT else 0)


def test_old_persons_and_groups_are_shown(old: httpx.Client) -> None:
    persons = old.get("/api/v1/faces/persons", params={"status": "all"}).json()
    assert [(one["name"], one["status"], one["faceCount"]) for one in persons["items"]] == [
        ("Ünal Ağa", "active", 2),
        (None, "hidden", 1),
    ]
    assert old.get("/api/v1/faces/clusters").json()["total"] == 2
