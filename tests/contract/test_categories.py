"""Categories of sessions over REST."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.test_sessions import PAGE_KEYS, UTC, refused
from tests.support.running_gateway import Gateway

CATEGORIES = "/api/v1/categories"
SESSIONS = "/api/v1/training/sessions"
KEYS = {"id", "name", "description", "color", "isDefault", "createdAt", "updatedAt", "sessionCount"}


def new_name() -> str:
    return f"category {os.urandom(6).hex()}"


def create(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post(CATEGORIES, json={"name": new_name(), **more})
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


def listed(client: httpx.Client) -> dict[int, dict[str, Any]]:
    """All categories by id."""
    found: dict[int, dict[str, Any]] = {}
    number, more = 1, True
    while more:
        page = client.get(CATEGORIES, params={"page": number, "page_size": 100}).raise_for_status().json()
        found |= {one["id"]: one for one in page["items"]}
        number, more = number + 1, page["hasMore"]
    return found


def test_a_created_category_has_the_contracts_keys_and_is_listed(client: httpx.Client) -> None:
    name = new_name()

    made = create(client, name=f"  {name} ", description="By the sea", color="#2f6fde")

    assert made.keys() == KEYS
    assert (made["name"], made["description"], made["color"]) == (name, "By the sea", "#2f6fde")
    assert (made["isDefault"], made["sessionCount"]) == (False, 0)
    assert UTC.fullmatch(made["createdAt"])
    page = client.get(CATEGORIES).json()
    assert page.keys() == PAGE_KEYS
    assert page["page"] == 1
    assert listed(client)[made["id"]] == made


def test_sessions_are_counted_and_a_deleted_category_leaves_them_without_one(
    client: httpx.Client, gateway: Gateway
) -> None:
    made = create(client)
    ids = [gateway.create(client, categoryId=made["id"]) for _ in range(2)]
    assert listed(client)[made["id"]]["sessionCount"] == 2
    summary = {name: value for name, value in made.items() if name != "sessionCount"}
    assert client.get(f"{SESSIONS}/{ids[0]}").json()["category"] == summary

    answer = client.delete(f"{CATEGORIES}/{made['id']}")

    assert (answer.status_code, answer.content) == (204, b"")
    for session_id in ids:
        session = client.get(f"{SESSIONS}/{session_id}").json()
        assert (session["categoryId"], session["category"]) == (None, None)
    assert made["id"] not in listed(client)
    refused(client.delete(f"{CATEGORIES}/{made['id']}"), 404, "not_found")


def test_only_what_is_named_changes(client: httpx.Client) -> None:
    made = create(client, description="a", color="red")
    path = f"{CATEGORIES}/{made['id']}"

    renamed = client.patch(path, json={"name": new_name()}).json()
    assert (renamed["description"], renamed["color"]) == ("a", "red")
    assert renamed["name"] != made["name"]
    assert renamed["updatedAt"] >= made["updatedAt"]
    assert client.patch(path, json={"description": None}).json() == renamed | {
        "description": None,
        "updatedAt": listed(client)[made["id"]]["updatedAt"],
    }
    assert client.patch(path, json={}).json() == listed(client)[made["id"]]


def test_a_name_is_had_once(client: httpx.Client) -> None:
    first, second = create(client), create(client)

    refused(client.post(CATEGORIES, json={"name": first["name"]}), 409, "name_taken")
    refused(client.patch(f"{CATEGORIES}/{second['id']}", json={"name": first["name"]}), 409, "name_taken")
    assert client.patch(f"{CATEGORIES}/{first['id']}", json={"name": first["name"]}).status_code == 200


def test_of_many_who_take_a_name_at_once_one_gets_it(client: httpx.Client) -> None:
    name = new_name()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: client.post(CATEGORIES, json={"name": name}), range(8)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


def test_at_most_one_is_the_default_whoever_presses_at_once(client: httpx.Client) -> None:
    ids = [create(client, is_default=True)["id"] for _ in range(4)]

    def defaults() -> list[int]:
        return [one["id"] for one in listed(client).values() if one["isDefault"]]

    assert defaults() == [ids[-1]]
    assert client.get(CATEGORIES).json()["items"][0]["id"] == ids[-1]
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda one: client.patch(f"{CATEGORIES}/{one}", json={"isDefault": True}), ids + ids)
        )
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len(defaults()) == 1
    client.patch(f"{CATEGORIES}/{defaults()[0]}", json={"isDefault": False}).raise_for_status()
    assert defaults() == []


@pytest.mark.parametrize(
    "change",
    [
        *({"name": ""}, {"name": "  "}, {"name": None}, {"name": "x" * 201}, {"name": "a\0b"}, {"name": 7}),
        *({"color": ""}, {"color": "x" * 51}, {"description": "x" * 2001}, {"isDefault": None}),
    ],
)
def test_a_body_that_does_not_fit_is_422(client: httpx.Client, change: dict[str, Any]) -> None:
    refused(client.post(CATEGORIES, json={"name": new_name(), **change}), 422, "invalid_request")
    refused(client.patch(f"{CATEGORIES}/{create(client)['id']}", json=change), 422, "invalid_request")


@pytest.mark.parametrize("named", ["0", str(2**62), str(2**63), "nonsense"])
def test_an_id_that_names_no_category_is_404_or_422(client: httpx.Client, named: str) -> None:
    for answer in (
        client.patch(f"{CATEGORIES}/{named}", json={"name": "x"}),
        client.delete(f"{CATEGORIES}/{named}"),
    ):
        refused(answer, *((404, "not_found") if answer.status_code == 404 else (422, "invalid_request")))
