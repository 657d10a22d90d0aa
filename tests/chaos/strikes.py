"""When faults begin, and what is done while they last."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.chaos.cells import Blow
from tests.chaos.chaos_stack import UNDISTURBED, ChaosStack
from tests.chaos.faults import inflicted
from tests.support.running_triptych import Client
from tests.support.session_readers import Readers

_KEYS: Final = {"training": "training", "face_detection": "faceDetection", "clustering": "clustering"}
_UNDER_WAY: Final = ("running", "processing")
_INTERVAL_SECONDS: Final = 0.05
_PICTURES: Final = 8
_RELEASE_THE_CLUSTERER: Final = ("kill", "stop", "slow")
"""Faults that end in the clusterer's being stopped no longer, where it is the clusterer's fault."""


@dataclass(kw_only=True)
class Strikes:
    """The faults of one cell."""

    stack: ChaosStack
    readers: Readers
    problems: list[str]
    ended_at: float = 0.0
    """When the last was over, by the event loop's clock."""
    _held: list[psutil.Process] = field(default_factory=list)

    def hold_clusterer(self) -> None:
        """Stop the clusterer in its tracks until the first fault of its phase: the phase is too short to be hit."""
        self._held = self.stack.processes("cluster")
        for process in self._held:
            process.suspend()

    async def strike(self, blow: Blow, *, must_hit: bool) -> None:
        """Wait for a fault's moment, and have it for as long as it lasts."""
        with self.stack.disks.crowded(blow.part) if blow.fault == "full" else contextlib.nullcontext():
            await self._strike(blow, must_hit=must_hit)

    async def _strike(self, blow: Blow, *, must_hit: bool) -> None:
        if not await self._until_moment(blow.phase):
            if must_hit:
                self.problems.append(f"{blow.phase} was over before it could be hit")
            if must_hit or self.readers.has_ended:
                self._release()
                return
        await asyncio.sleep(blow.delay_seconds)
        begun_in_log = self._log_size(blow.part)
        async with inflicted(self.stack, blow):
            if blow.phase == "clustering" and not (blow.part == "cluster" and blow.fault in _RELEASE_THE_CLUSTERER):
                self._release()
            if (blow.fault, blow.part) == ("full", "gateway"):
                await self._look_at_pictures()
            await asyncio.sleep(blow.seconds)
        self.ended_at = max(self.ended_at, asyncio.get_running_loop().time())
        if must_hit and blow.fault == "full" and blow.part != "gateway" and not self._ran_out(blow.part, begun_in_log):
            self.problems.append(f"{blow.part} did not notice that its disk was full")

    async def _until_moment(self, phase: str) -> bool:
        """Whether a phase is under way; False once it is over."""
        while not self.readers.has_ended:
            state = self.readers.phase(_KEYS[phase])
            if state is not None and state["status"] in _UNDER_WAY:
                if phase == "clustering" or state["progress"]["current"] > 0:
                    return True
            elif state is not None and state["status"] == "completed":
                return False
            await asyncio.sleep(_INTERVAL_SECONDS)
        return False

    def _release(self) -> None:
        for process in self._held:
            if process.is_running():
                process.resume()
        self._held = []

    async def _look_at_pictures(self) -> None:
        """Ask for pictures that the gateway would like to keep on its disk.

        They are of the undisturbed session's photos, since to make them reads photos.
        """
        client = Client(self.stack.triptych.url)
        try:
            jobs = await client.get_all(f"/training/sessions/{UNDISTURBED}/jobs")
            for job in jobs[:_PICTURES]:
                await client.get_picture(f"/images/{job['assetId']}/thumbnail?size=64")
        finally:
            await client.aclose()

    def _log_size(self, part: str) -> int:
        path = self.stack.triptych.data.logs / f"{part}.log"
        return path.stat().st_size if path.exists() else 0

    def _ran_out(self, part: str, begin: int) -> bool:
        path = self.stack.triptych.data.logs / f"{part}.log"
        return b"no space left" in path.read_bytes()[begin:].lower()
