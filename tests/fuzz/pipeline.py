"""Sends hostile files through the whole pipeline, among good photos, and judges what came of each."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Final

import httpx

from tests.fuzz.asking import Asking, BadAnswerError, ask_about_directory, ask_about_photo, ask_lists
from tests.fuzz.cells import Cell, Figures
from tests.fuzz.changing import Changing
from tests.fuzz.corpus.hostile import EMBEDDED, LEFT_OUT
from tests.fuzz.corpus.library import Library, write_good_photos, write_library
from tests.fuzz.corpus.trees import Expected
from tests.fuzz.corpus.whole import whole_pictures
from tests.fuzz.fuzz_stack import CEILINGS, MOST_BYTES, SHARD_PHOTOS, FuzzStack
from tests.fuzz.memory import Memory
from tests.fuzz.stored import Stored, stored_of
from tests.support.ending import end_tasks
from tests.support.file_opens import FileOpens
from tests.support.log_errors import errors
from tests.support.running_triptych import Client
from tests.support.session_readers import Readers, watched
from tests.support.stored_results import settled_photos
from triptych_common.media.locations import display_path
from triptych_gateway.cli.plain_http import NO_AUTHORITIES
from triptych_gateway.cli.samples import library as samples

DEADLINE_SECONDS: Final = 900.0
_SAMPLES: Final = 12
"""Good photos of people and things, beside one of each format."""
_SEARCHES: Final = 20
_CHANGING: Final = "changing files"
_NOTHING: Final = ((0, 0),)
_RESULTS_OF_FAILED: Final[Mapping[str, tuple[tuple[int, int], ...]]] = {
    # One that changes after it was read for the first phase fails in the second.
    _CHANGING: ((0, 0), (1, 0))
}
"""By kind: embeddings and searches for faces that a photo may have that failed; none of other kinds."""
_CROWD: Final = 100_000
_ONE_IN: Final = 500
"""Files of the crowd that are called as photos are, and are empty."""
_PHASES: Final = 2
"""Those that read photos."""


class Pipeline:
    """One stack, and all that is tried on it."""

    def __init__(self, stack: FuzzStack, *, seed: int, share: float) -> None:
        self._stack = stack
        self._seed = seed
        self._share = share
        self.figures = Figures()
        self.cells: list[Cell] = []

    async def run(self) -> None:
        """Try everything."""
        alone = self._stack.media / "alone"
        samples.write_library(alone, count=_SAMPLES, seed=self._seed)
        write_good_photos(alone)
        memory = Memory(running=self._stack.triptych)
        watching = asyncio.create_task(memory.watch())
        try:
            undisturbed = await self._alone(alone)
            await self._among_hostile_files(alone, undisturbed)
            await self._crowd(alone)
        finally:
            failed = watching.done()
            await end_tasks([watching])
        if failed:
            watching.result()
        self.figures.peak_mebibytes = {part: peak >> 20 for part, peak in sorted(memory.peak_bytes.items())}
        self.cells.append(Cell(name="memory", tried=len(memory.peak_bytes), problems=memory.problems(CEILINGS)))

    def logged(self) -> None:
        """Judge what the parts wrote, once they have ended."""
        found = errors(self._stack.triptych.data.logs)
        self.cells.append(Cell(name="logs", tried=len(found), problems=list(found)))

    async def _alone(self, directory: Path) -> dict[str, Stored]:
        """What good photos come to by themselves, by their paths below the directory. Raises RuntimeError."""
        async with contextlib.aclosing(Client(self._stack.triptych.url)) as client:
            session_id = await client.begin(directory, shard_photos=SHARD_PHOTOS)
            async for _ in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
                pass
        stored = await stored_of(self._stack.triptych, session_id)
        bad = {path: one for path, one in stored.items() if one.end != EMBEDDED or one.results != (1, 1)}
        if bad or not any(one.faces for one in stored.values()):
            raise RuntimeError(f"good photos alone came to {bad}")
        return {_below(directory, path): one for path, one in stored.items()}

    async def _among_hostile_files(self, alone: Path, undisturbed: Mapping[str, Stored]) -> None:
        root = self._stack.media / "library"
        photo = whole_pictures()["jpeg"].content
        self._stack.outside.write_bytes(photo)
        library = write_library(
            root, seed=self._seed, photo=photo, outside=self._stack.outside, most_bytes=MOST_BYTES, share=self._share
        )
        changing = Changing(root, photo=photo, outside=self._stack.outside, most_bytes=MOST_BYTES)
        good = Path(shutil.copytree(alone, root / "good"))
        library.kinds[_CHANGING] = changing.expected()
        self.figures.hostile_files = len(library.files())
        with FileOpens(good) as opens:
            session_id = await self._session(root, changing)
            reads = {path.name: times for path, times in opens.counts().items()}
        stored = await stored_of(self._stack.triptych, session_id)
        for kind, expected in library.kinds.items():
            self.cells.append(self._judge(kind, expected, stored))
        self.cells.append(self._judge_good(good, undisturbed, stored, reads))
        async with httpx.AsyncClient(
            base_url=f"{self._stack.triptych.url}/api/v1", verify=NO_AUTHORITIES, trust_env=False, timeout=60
        ) as client:
            asking = Asking(client=client)
            self.cells.append(await self._answers(asking, session_id, library, stored))
            self.cells.append(await self._failures(asking, session_id, stored))
            self.cells.append(await self._problems(asking, session_id, library))
            self.figures.requests = asking.statuses

    async def _crowd(self, alone: Path) -> None:
        """One directory with very many files, few of which are called as photos are, and one is a photo."""
        cell = Cell(name="crowd", tried=round(_CROWD * self._share))
        self.cells.append(cell)
        directory = self._stack.media / "crowd"
        directory.mkdir()
        for number in range(cell.tried):
            (directory / f"{number:06}.{'jpg' if number % _ONE_IN == 0 else 'dat'}").touch()
        shutil.copy(alone / "jpeg.jpg", directory / "photo.jpg")
        async with contextlib.aclosing(Client(self._stack.triptych.url)) as client:
            session_id = await client.begin(directory, shard_photos=SHARD_PHOTOS)
            async for watch in client.watch(session_id, deadline_seconds=DEADLINE_SECONDS):
                progress = watch.last
            preview = await client.get("/training/directories/preview", path=str(directory))
        named = -(-cell.tried // _ONE_IN)
        training = progress["phases"]["training"]
        if (progress["overallStatus"], training["failed"], training["progress"]["total"]) != (
            "completed",
            named,
            named + 1,
        ):
            cell.problems.append(f"the session came to {progress}")
        if preview["imageCount"] != named + 1:
            cell.problems.append(f"the preview tells of {preview['imageCount']} photos, not of {named + 1}")

    async def _session(self, root: Path, changing: Changing) -> int:
        """Run a session to its end; once discovery is over, files change under it."""
        cell = Cell(name="session", tried=1)
        self.cells.append(cell)
        async with contextlib.aclosing(Client(self._stack.triptych.url)) as client:
            session_id = await client.begin(root, shard_photos=SHARD_PHOTOS)
        async with watched(self._stack.triptych.url, session_id) as readers, asyncio.timeout(DEADLINE_SECONDS):
            while not readers.has_ended and not _has_begun(readers):  # noqa: ASYNC110 - readers only note what they see
                await asyncio.sleep(0.02)
            with self._stack.triptych.held("embedder"):
                settled = await settled_photos(self._stack.triptych, session_id, "training")
                if all(os.fsdecode(path).rpartition("/")[2] in settled for path in changing.expected()):
                    cell.problems.append("all photos were read before they changed")
                changing.change()
            while not readers.has_ended:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        self.figures.backward_moves = sum(reader.backward_moves() for reader in readers.all())
        if self.figures.backward_moves:
            cell.problems.append(f"the percentage or the status went back {self.figures.backward_moves} times")
        if readers.polling.last["overallStatus"] != "completed":
            cell.problems.append(f"the session ended as {readers.polling.last['overallStatus']}")
        if early := sum(reader.early_ends() for reader in readers.all()):
            cell.problems.append(f"{early} answers had 100 % without an end, or an end without")
        return session_id

    def _judge(self, kind: str, expected: Expected, stored: Mapping[bytes, Stored]) -> Cell:
        """Whether every file of a kind ended as it may, with as many results as that takes."""
        cell = Cell(name=kind, tried=len(expected))
        for path, ends in expected.items():
            found = stored.get(path)
            end = LEFT_OUT if found is None else found.end
            if end not in ends:
                cell.problems.append(f"{display_path(path)!r} ended as {end}, not as {sorted(ends)}")
            if end in (LEFT_OUT, "pending", "running") and end not in ends:
                self.figures.photos_lost += 1
            if found is not None and found.results not in (
                ((1, 1),) if end == EMBEDDED else _RESULTS_OF_FAILED.get(kind, _NOTHING)
            ):
                self.figures.other_than_one_result += 1
                cell.problems.append(f"{display_path(path)!r} ended as {end} with results {found.results}")
        return cell

    def _judge_good(
        self, good: Path, undisturbed: Mapping[str, Stored], stored: Mapping[bytes, Stored], reads: Mapping[str, int]
    ) -> Cell:
        """Whether good photos came to what they are alone, and were read once for each phase."""
        cell = Cell(name="good photos", tried=len(undisturbed))
        found = {_below(good, path): one for path, one in stored.items() if path.startswith(os.fsencode(good) + b"/")}
        for name, alone in undisturbed.items():
            among = found.get(name)
            if among is None or among.end != EMBEDDED:
                self.figures.photos_lost += 1
                cell.problems.append(f"{name} ended as {among.end if among else 'lost'}")
            elif among.results != (1, 1):
                self.figures.other_than_one_result += 1
                cell.problems.append(f"{name} has results {among.results}")
            elif not among.is_as(alone):
                self.figures.differing += 1
                cell.problems.append(f"{name} has another result than alone")
            if (times := reads.get(Path(name).name, 0)) > _PHASES:
                self.figures.computed_in_vain += 1
                cell.problems.append(f"{name} was read {times} times")
        return cell

    async def _answers(self, asking: Asking, session_id: int, library: Library, stored: Mapping[bytes, Stored]) -> Cell:
        """Whether every photo and every directory can be asked for, in every way that the page does."""
        cell = Cell(name="answers")
        expected = library.files()
        asked = [ask_about_photo(asking, path, stored[path], ends) for path, ends in expected.items() if path in stored]
        directories = sorted({os.path.dirname(path) for path in (*expected, *library.problems)})  # noqa: PTH120
        asked += [ask_about_directory(asking, directory) for directory in directories]
        embedded = sorted(one.asset_id for one in stored.values() if one.end == EMBEDDED)
        searched = Random(self._seed).sample(embedded, min(_SEARCHES, len(embedded)))
        asked.append(ask_lists(asking, session_id, searched))
        for problems in await asyncio.gather(*asked):
            cell.problems += problems
        try:
            status, body = await asking.post("/training/directories/scan", {"rootPath": os.fsdecode(library.root)})
            if status != httpx.codes.OK or not body["totalImages"]:
                cell.problems.append(f"the scan is answered {status}: {body}")
        except BadAnswerError as error:
            cell.problems.append(str(error))
        cell.tried = asking.statuses.total()
        return cell

    async def _failures(self, asking: Asking, session_id: int, stored: Mapping[bytes, Stored]) -> Cell:
        """Whether the list of failed photos names each, with its code and a sentence."""
        failed = {one.asset_id: (path, one) for path, one in stored.items() if one.status == "failed"}
        cell = Cell(name="failed photos", tried=len(failed))
        jobs = {
            job["assetId"]: job for job in await asking.get_all(f"/training/sessions/{session_id}/jobs?status=failed")
        }
        cell.problems += [f"{display_path(failed[lost][0])!r} is not named" for lost in failed.keys() - jobs.keys()]
        for asset_id, job in jobs.items():
            path, one = failed[asset_id]
            sentence = job["errorMessage"] or ""
            if job["imagePath"] != display_path(path) or job["errorCode"] != one.error_code:
                cell.problems.append(f"{display_path(path)!r} ({one.error_code}) is told of as {job}")
            if not sentence.endswith(".") or not sentence[0].isupper() or not sentence.isprintable():
                cell.problems.append(f"what is said of {display_path(path)!r} is no sentence: {sentence!r}")
        return cell

    async def _problems(self, asking: Asking, session_id: int, library: Library) -> Cell:
        """Whether what could not be read is told, with its code and a sentence."""
        told = await asking.get_all(f"/training/sessions/{session_id}/problems")
        cell = Cell(name="problems", tried=len(library.problems))
        found = {problem["path"]: problem for problem in told}
        expected = {display_path(path): codes for path, codes in library.problems.items()}
        for path, codes in expected.items():
            problem = found.pop(path, None)
            if problem is None or problem["code"] not in codes or not problem["message"].endswith("."):
                cell.problems.append(f"{path!r} is told of as {problem}, not as {sorted(codes)}")
        cell.problems += [f"{path!r} is told of as {problem}" for path, problem in found.items()]
        return cell


def _has_begun(readers: Readers) -> bool:
    """Whether photos are being read, so that discovery is over."""
    training = readers.phase("training")
    return training is not None and training["status"] == "running"


def _below(directory: Path, path: bytes) -> str:
    return os.fsdecode(path.removeprefix(os.fsencode(directory) + b"/"))
