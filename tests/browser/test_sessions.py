"""A session from its form to its people, as a reader sees it: in order, never back, and at rest after."""

import asyncio
import itertools
import time
from pathlib import Path
from typing import Final

from playwright.async_api import Page, Request, Response, Route, expect

from tests.browser.conftest import NEW_PHOTOS, TRAIN_SECONDS, Reader
from tests.browser.new_session import create
from tests.browser.progress_log import collect, collected
from tests.support.running_triptych import Triptych

TRAIN_MILLISECONDS: Final = 1_000 * TRAIN_SECONDS
QUIET_SECONDS: Final = 5.0
"""More than two polls would take."""
POLL_SECONDS: Final = 2.0
PHASES: Final = {"training": "training", "faceDetection": "face_detection", "clustering": "clustering"}
PHASE_STATUSES: Final = {"pending", "running", "processing", "paused", "completed", "failed", "cancelled"}


async def completed(page: Page) -> None:
    await expect(page.get_by_text("✓ All Phases Complete")).to_be_visible(timeout=TRAIN_MILLISECONDS)


def progress_requests(page: Page) -> list[float]:
    """Moments at which the page asks for progress, from now on."""
    asked: list[float] = []

    def note(request: Request) -> None:
        if "/progress" in request.url:
            asked.append(time.monotonic())

    page.on("request", note)
    return asked


async def test_a_new_session_is_followed_to_its_end_and_then_nothing_is_asked_any_more(
    reader: Reader, new_photos: Path
) -> None:
    await create(reader, "Followed", new_photos)
    await collect(reader.page)
    await completed(reader.page)
    asked = progress_requests(reader.page)
    seen = await collected(reader.page)

    assert seen.percentages == sorted(seen.percentages)
    assert seen.percentages[-1] == 100
    of_faces = [headline for headline in seen.headlines if "Face Detection" in headline]
    assert of_faces[-1] == "😊 Face Detection – Analyzing Faces"
    assert of_faces[:-1] in ([], ["😊 Face Detection – Getting ready"])
    assert seen.headlines[-1] == "✓ All Phases Complete"
    await expect(reader.page.get_by_text(f"{NEW_PHOTOS} / {NEW_PHOTOS} photos").first).to_be_visible()
    await expect(reader.page.get_by_role("heading", name="People found")).to_be_visible()
    # That nothing is asked has no moment at which it is true: longer than the page ever waited before is enough.
    await asyncio.sleep(QUIET_SECONDS)
    assert asked == []


async def test_without_a_stream_the_page_polls_no_faster_than_every_two_seconds(
    reader: Reader, new_photos: Path
) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    await reader.page.route("**/progress-unified/stream", refuse)
    await create(reader, "Polled", new_photos)
    polls: list[float] = []

    def note(request: Request) -> None:
        if request.url.endswith("/progress-unified"):
            polls.append(time.monotonic())

    reader.page.on("request", note)
    await reader.page.get_by_role("button", name="Pause").wait_for()
    await completed(reader.page)
    gaps = [after - before for before, after in itertools.pairwise(polls)]
    assert all(gap >= POLL_SECONDS * 0.95 for gap in gaps), gaps


async def test_what_the_page_is_told_as_it_polls_keeps_to_the_specification(reader: Reader, new_photos: Path) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    told: list[Response] = []
    reader.page.on("response", lambda answer: told.append(answer) if answer.url.endswith("/progress-unified") else None)
    await reader.page.route("**/progress-unified/stream", refuse)
    await create(reader, "Told", new_photos)
    await completed(reader.page)

    snapshots = [await answer.json() for answer in told]
    assert snapshots[-1]["overallStatus"] == "completed"
    for snapshot in snapshots:
        overall, phases = snapshot["overallProgress"], snapshot["phases"]
        assert 0 <= overall["percentage"] <= 100
        assert overall["currentPhase"] in {*PHASES.values(), "completed"}
        assert {key: phases[key]["name"] for key in PHASES} == PHASES
        for phase in phases.values():
            assert 0 <= phase["progress"]["percentage"] <= 100
            assert phase["status"] in PHASE_STATUSES


async def test_a_session_is_paused_resumed_and_read_again_in_mid_run(reader: Reader, new_photos: Path) -> None:
    await create(reader, "Paused", new_photos)
    page = reader.page
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    await expect(page.get_by_text("Paused in")).to_be_visible()

    bar = page.get_by_role("progressbar", name="Overall progress")
    before = float(await bar.get_attribute("aria-valuenow") or 0)
    await page.reload()
    await expect(page.get_by_role("button", name="Resume")).to_be_visible()
    assert float(await bar.get_attribute("aria-valuenow") or 0) >= before

    await page.get_by_role("button", name="Resume").click()
    await collect(page)
    await completed(page)
    assert (percentages := (await collected(page)).percentages) == sorted(percentages)


async def test_two_tabs_show_one_session_and_its_buttons_alike(reader: Reader, new_photos: Path) -> None:
    await create(reader, "In two tabs", new_photos)
    other = await reader.page.context.new_page()
    await other.goto(reader.page.url)
    await other.get_by_role("button", name="Cancel").click()
    await other.get_by_role("alertdialog").get_by_role("button", name="Cancel the session").click()
    for page in (reader.page, other):
        await expect(page.get_by_text("Cancelled in")).to_be_visible()
        await expect(page.get_by_role("button", name="Continue with what is left")).to_be_visible()
    await reader.page.get_by_role("button", name="Continue with what is left").click()
    await completed(reader.page)


async def test_a_gateway_that_was_killed_is_said_to_be_away_and_the_page_goes_on_by_itself(
    reader: Reader, running: Triptych, new_photos: Path
) -> None:
    await create(reader, "Through an outage", new_photos)
    await collect(reader.page)
    running.child("gateway").kill()
    await expect(reader.page.get_by_text("The gateway is away.")).to_be_visible()
    await expect(reader.page.get_by_text("The gateway is away.")).to_be_hidden(timeout=TRAIN_MILLISECONDS)
    await completed(reader.page)
    assert (percentages := (await collected(reader.page)).percentages) == sorted(percentages)


async def test_a_session_that_is_not_there_is_said_once(reader: Reader) -> None:
    await reader.open("#/sessions/999999")
    await expect(reader.page.get_by_role("alert")).to_have_count(1)
    await expect(reader.page.get_by_role("alert")).to_contain_text("999999")
