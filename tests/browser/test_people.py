"""What training was for: people who are named, merged, hidden and corrected, and photos that are found."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import Reader, ended
from tests.support.running_triptych import Client

pytestmark = pytest.mark.usefixtures("session_id")


def people(reader: Reader) -> Locator:
    return reader.page.locator("main li a")


async def test_a_person_is_named_and_keeps_the_name_when_faces_are_grouped_again(
    reader: Reader, client: Client, session_id: int
) -> None:
    await reader.open("#/people")
    await people(reader).first.click()
    await reader.page.get_by_placeholder("Who is this?").fill("Ada Lovelace")
    await reader.page.get_by_role("button", name="Save the name").click()
    await expect(reader.page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    (await client.post(f"/training/sessions/{session_id}/restart-clustering")).raise_for_status()
    await ended(client, session_id)

    await reader.open(f"#/sessions/{session_id}")
    await reader.page.get_by_role("link", name="Ada Lovelace", exact=True).click()
    await expect(reader.page.get_by_role("heading", name="Ada Lovelace")).to_be_visible()
    await reader.open("#/people")
    await reader.page.get_by_placeholder("Find by name").fill("lovel")
    await expect(people(reader)).to_have_count(1)


async def test_a_face_that_is_not_the_persons_goes_and_waits_among_the_unsorted(reader: Reader, client: Client) -> None:
    unsorted = (await client.get("/faces/unassigned"))["total"]
    person = (await client.get("/faces/persons"))["items"][1]
    await reader.open(f"#/people/{person['id']}")
    faces = reader.page.get_by_role("list", name="Faces of").locator("li")
    await expect(faces).to_have_count(person["faceCount"])
    await faces.first.get_by_role("button", name="Not this person").click()
    await expect(faces).to_have_count(person["faceCount"] - 1)

    await reader.open("#/people/unsorted")
    await expect(reader.page.get_by_role("heading", name="Unsorted faces")).to_contain_text(str(unsorted + 1))
    await reader.page.get_by_role("button", name="Open").first.click()
    dialog = reader.page.get_by_role("dialog")
    await dialog.get_by_label("This is").fill("Grace")
    await dialog.get_by_role("button", name="Say so").click()
    await expect(dialog.get_by_role("link", name="Grace")).to_be_visible()
    await dialog.get_by_role("button", name="Close").click()
    await expect(reader.page.get_by_role("heading", name="Unsorted faces")).to_contain_text(str(unsorted))


async def test_two_who_are_one_are_merged_and_somebody_is_hidden_and_shown_again(
    reader: Reader, client: Client
) -> None:
    before = (await client.get("/faces/persons"))["total"]
    await reader.open("#/people")
    await reader.page.get_by_role("button", name="Merge…").click()
    tiles = reader.page.locator("main li button")
    await tiles.nth(before - 1).click()
    await tiles.nth(before - 2).click()
    await reader.page.get_by_role("button", name="Same person (2)…").click()
    dialog = reader.page.get_by_role("alertdialog", name="Are these two one person?")
    await expect(dialog.locator("li img")).to_have_count(2)
    await dialog.get_by_role("button", name="Leave them apart").click()
    assert (await client.get("/faces/persons"))["total"] == before
    await reader.page.get_by_role("button", name="Same person (2)…").click()
    await dialog.get_by_role("button", name="Same person").click()
    await expect(people(reader)).to_have_count(before - 1)
    await expect(reader.page.get_by_text("They are one now:")).to_be_visible()

    await people(reader).last.click()
    await reader.page.get_by_role("button", name="Hide").click()
    await expect(reader.page.get_by_role("button", name="Show again")).to_be_visible()
    await reader.open("#/people")
    await expect(people(reader)).to_have_count(before - 2)
    await reader.page.get_by_label("Hidden ones").check()
    await expect(people(reader)).to_have_count(1)


async def test_a_face_that_a_session_found_opens_its_photo_with_every_face_boxed(
    reader: Reader, client: Client, session_id: int
) -> None:
    groups = (await client.get("/faces/clusters", session_id=session_id))["items"]
    face = next(face for group in groups for face in group["sampleFaces"])
    faces = (await client.get(f"/images/{face['assetId']}"))["faces"]
    await reader.open(f"#/sessions/{session_id}")
    await reader.page.get_by_role("list", name="Faces of").get_by_role("button", name="Open").first.click()
    boxes = reader.page.get_by_role("dialog").get_by_role("button", name="Face")
    await expect(boxes).to_have_count(len(faces))
    place = [each["id"] for each in faces].index(face["id"])
    await expect(boxes.nth(place)).to_have_attribute("aria-pressed", "true")


async def test_two_who_look_alike_are_said_to_be_two(reader: Reader, client: Client) -> None:
    one, other = (await client.get("/faces/persons"))["items"][:2]
    page = reader.page
    await reader.open(f"#/people/{one['id']}")
    await page.get_by_role("button", name="Not the same person as…").click()
    choice = page.get_by_role("region", name="Who is not the same person")
    await choice.get_by_role("button", name=other["name"] or f"Person {other['id']}").click()
    await choice.get_by_role("button", name="Not the same person (1)").click()
    await expect(page.get_by_text("Not the same person as", exact=True)).to_be_visible()
    different = await client.get(f"/faces/persons/{one['id']}/different")
    assert [person["id"] for person in different["items"]] == [other["id"]]
    await page.reload()
    await page.get_by_role("link", name=other["name"] or f"Person {other['id']}", exact=True).click()
    await expect(page.get_by_role("link", name=one["name"] or f"Person {one['id']}", exact=True)).to_be_visible()


async def test_photos_like_one_are_found_and_text_is_refused_where_the_model_cannot_read(
    reader: Reader, client: Client, photos: Path
) -> None:
    person = (await client.get("/faces/persons"))["items"][0]
    await reader.open(f"#/people/{person['id']}")
    await reader.page.get_by_role("list", name="Faces of").get_by_role("button", name="Open").first.click()
    dialog = reader.page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Face 1", exact=True)).to_be_visible()
    await dialog.get_by_role("link", name="Photos like this").click()
    found = reader.page.get_by_role("list", name="Photos found").locator("li")
    await expect(found.first).to_be_visible()

    await reader.open("#/search")
    await reader.page.get_by_placeholder("a red boat on the beach").fill("a cat")
    await reader.page.get_by_role("button", name="Search").click()
    await expect(reader.page.get_by_role("alert")).to_contain_text("cannot read text")
    picture = await asyncio.to_thread(lambda: next(path for path in sorted(photos.rglob("*.jpg"))))
    await reader.page.get_by_label("Or by a picture").set_input_files(picture)
    await expect(found.first).to_contain_text(picture.name)
    await expect(found.first).to_contain_text("similarity 1.00")


async def test_a_person_is_forgotten_only_once_somebody_says_yes(reader: Reader, client: Client) -> None:
    person = (await client.get("/faces/persons"))["items"][-1]
    page = reader.page
    await reader.open(f"#/people/{person['id']}")
    await page.get_by_role("button", name="Forget this person…").click()
    dialog = page.get_by_role("alertdialog")
    await expect(dialog).to_contain_text("The photos stay.")
    await dialog.get_by_role("button", name="Keep").click()
    assert (await client.get(f"/faces/persons/{person['id']}"))["id"] == person["id"]

    await page.get_by_role("button", name="Forget this person…").click()
    await dialog.get_by_role("button", name="Forget").click()

    await expect(page.get_by_text(re.compile(r"was forgotten: 1 person, \d+ faces?"))).to_be_visible()
    await expect(page).to_have_url(re.compile("#/people$"))
    assert person["id"] not in {one["id"] for one in (await client.get("/faces/persons"))["items"]}


async def test_whoever_gives_a_name_that_is_taken_is_asked_whether_the_two_are_one(
    reader: Reader, client: Client, new_photos: Path
) -> None:
    await ended(client, await client.begin(new_photos, shard_photos=16))
    one, other = [person for person in (await client.get("/faces/persons"))["items"] if person["name"] is None][:2]
    await client.change(f"/faces/persons/{other['id']}", {"name": "Mary Somerville"})
    page = reader.page
    await reader.open(f"#/people/{one['id']}")
    await page.get_by_placeholder("Who is this?").fill("mary somerville")
    await expect(page.get_by_text("There is another person of this name – merge them?")).to_be_visible()
    await page.get_by_role("button", name="Merge…").click()
    dialog = page.get_by_role("alertdialog")
    await expect(dialog).to_contain_text(f"{one['faceCount'] + other['faceCount']} faces in all")
    await dialog.get_by_role("button", name="Same person").click()

    await expect(page.get_by_role("heading", name=re.compile("mary somerville", re.IGNORECASE))).to_be_visible()
    await expect(page.get_by_text("There is another person of this name")).to_be_hidden()
    namesakes = (await client.get("/faces/persons", q="somerville"))["items"]
    assert [person["faceCount"] for person in namesakes] == [one["faceCount"] + other["faceCount"]]


async def test_a_photo_is_forgotten_from_where_it_is_looked_at_and_its_file_stays(
    reader: Reader, client: Client, new_photos: Path
) -> None:
    await ended(client, await client.begin(new_photos, shard_photos=16))
    picture = await asyncio.to_thread(lambda: max(new_photos.rglob("*.jpg")))
    page = reader.page
    await reader.open("#/search")
    await page.get_by_label("Or by a picture").set_input_files(picture)
    found = page.get_by_role("list", name="Photos found").locator("li")
    await expect(found.first).to_contain_text("similarity 1.00")
    shown = await found.count()
    await found.first.get_by_role("button").click()
    viewer = page.get_by_role("dialog").first
    question = page.get_by_role("alertdialog")
    await viewer.get_by_role("button", name="Forget this photo…").click()
    await expect(question).to_contain_text("The file itself stays")
    await question.get_by_role("button", name="Keep").click()
    await viewer.get_by_role("button", name="Forget this photo…").click()
    await question.get_by_role("button", name="Forget").click()

    await expect(page.get_by_text("was forgotten: ")).to_contain_text("1 photo")
    await expect(viewer).to_be_hidden()
    await expect(found).to_have_count(shown - 1)
    assert await asyncio.to_thread(picture.is_file)


async def test_whoever_comes_back_from_photos_like_one_finds_the_search_as_they_left_it(
    reader: Reader, photos: Path
) -> None:
    page = reader.page
    picture = await asyncio.to_thread(lambda: min(photos.rglob("*.jpg")))
    found = page.get_by_role("list", name="Photos found").locator("li")
    await reader.open("#/search")
    await page.get_by_label("Or by a picture").set_input_files(picture)
    await expect(found.first).to_contain_text("similarity 1.00")
    before = await found.all_inner_texts()
    for back in (page.go_back, page.get_by_role("link", name="← Search").click):
        await found.last.get_by_role("button").click()
        scrolled = await page.evaluate("() => scrollY")
        assert scrolled > 0
        await page.get_by_role("dialog").get_by_role("link", name="Photos like this").click()
        await expect(page.get_by_role("heading", name="Photos like")).to_be_visible()
        await back()
        await expect(page.get_by_text(f"Photos like {picture.name}")).to_be_visible()
        assert await found.all_inner_texts() == before
        await page.wait_for_function("(wanted) => Math.abs(scrollY - wanted) < 2", arg=scrolled)

    await reader.open("#/search?text=a+red+boat")
    await expect(page.get_by_placeholder("a red boat on the beach")).to_have_value("a red boat")
