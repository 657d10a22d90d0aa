"""Grids longer than the window: only what is near it is on the page, and the reader finds their place again."""

import json
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from playwright.async_api import Route, expect

from tests.browser.conftest import Reader

FACES: Final = 50_000
MOST_ON_THE_PAGE: Final = 500
PERSONS: Final = 400
ARRIVE_MILLISECONDS: Final = 60_000
"""For 15 MB to come through what drives the browser."""


def face(number: int) -> dict[str, Any]:
    """A face of a library that is too large to train for a test; its picture is not there."""
    return {
        "id": number,
        "assetId": number,
        "personId": None,
        "groupId": None,
        "model": "none",
        "path": f"/photos/{number}.jpg",
        "box": {"x": 0.1, "y": 0.1, "width": 0.2, "height": 0.2},
        "score": 0.9,
        "probability": None,
        "imageUrl": f"/api/v1/images/{number}/full",
        "cropUrl": f"/api/v1/faces/{number}/crop",
    }


async def test_a_grid_of_fifty_thousand_has_only_what_is_in_view_on_the_page(reader: Reader) -> None:
    items = [face(number) for number in range(1, FACES + 1)]
    body = json.dumps({"items": items, "total": FACES, "page": 1, "pageSize": FACES, "hasMore": False})

    async def answer(route: Route) -> None:
        await route.fulfill(content_type="application/json", body=body)

    page = reader.page
    await page.route("**/api/v1/faces/unassigned?*", answer)
    await reader.open("#/people/unsorted")
    tiles = page.get_by_role("list", name="Unsorted faces").get_by_role("listitem")
    await expect(tiles.first).to_have_attribute("aria-posinset", "1", timeout=ARRIVE_MILLISECONDS)
    await expect(tiles.first).to_have_attribute("aria-setsize", str(FACES))
    assert await tiles.count() < MOST_ON_THE_PAGE
    height = await page.evaluate("() => document.documentElement.scrollHeight")

    await page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    await expect(page.get_by_role("button", name=f"Open {FACES}.jpg")).to_be_visible()
    assert await tiles.count() < MOST_ON_THE_PAGE
    assert await page.evaluate("() => document.documentElement.scrollHeight") == height

    middle = FACES // 2
    await page.evaluate("(height) => scrollTo(0, height / 2)", height)
    await expect(page.get_by_role("button", name=f"Open {FACES}.jpg")).to_have_count(0)
    places = [int(place or 0) for place in await tiles.evaluate_all("(all) => all.map((one) => one.ariaPosInSet)")]
    assert places == list(range(places[0], places[0] + len(places)))
    assert abs(places[len(places) // 2] - middle) < MOST_ON_THE_PAGE


def person(number: int) -> dict[str, Any]:
    """Somebody of a library that is too large to train for a test."""
    return {"id": number, "name": None, "status": "active", "faceCount": 1, "assetCount": 1, "coverFaceId": None}


async def test_a_reader_who_comes_back_from_a_person_is_where_they_were(reader: Reader) -> None:
    async def answer(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        number, size = int(asked["page"][0]), int(asked["page_size"][0])
        first = 1 + (number - 1) * size
        items = [person(each) for each in range(first, min(first + size, PERSONS + 1))]
        has_more = first + size <= PERSONS
        page = {"items": items, "total": PERSONS, "page": number, "pageSize": size, "hasMore": has_more}
        await route.fulfill(content_type="application/json", body=json.dumps(page))

    page = reader.page
    await page.route("**/api/v1/faces/persons?*", answer)
    await reader.open("#/people")
    last = page.get_by_role("link", name=f"Person {PERSONS}")
    while await last.count() == 0:
        await page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
        await page.get_by_role("button", name="Loading…").wait_for(state="detached")
    await expect(last).to_be_in_viewport()
    await last.click()
    await page.get_by_role("heading", name=f"Person {PERSONS}").wait_for()
    await page.get_by_role("link", name="← Everybody").click()
    await expect(last).to_be_in_viewport()

    await page.get_by_role("link", name="Sessions").click()
    await page.get_by_role("heading", name="Sessions").wait_for()
    await page.get_by_role("link", name="People").click()
    await expect(page.get_by_role("link", name="Person 1 1 face", exact=True)).to_be_in_viewport()
