"""Discovery of a session: what a walk finds goes into the catalogue, moved files with all that is known of them."""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from triptych_common.errors import AwayError
from triptych_common.logging import get_logger
from triptych_common.media.locations import MediaRoots
from triptych_common.media.object_names import is_object_path
from triptych_common.media.object_times import have_same_tag
from triptych_gateway.catalog.library import directories, missing, moves, photos
from triptych_gateway.catalog.library.moves import KnownPhoto, Move
from triptych_gateway.catalog.library.photos import FoundPhoto, Problem
from triptych_gateway.catalog.sessions import jobs, sessions
from triptych_gateway.catalog.sessions.sessions import Session
from triptych_gateway.pipeline.discovery.files import gone, has_left, hash_for
from triptych_gateway.pipeline.discovery.left_photos import LeftPhotos
from triptych_gateway.pipeline.discovery.listing import (
    Interruption,
    TreeOptions,
    ignored_paths,
    is_below,
    normalised_extension,
)
from triptych_gateway.pipeline.discovery.walking import WalkedDirectory, discover
from triptych_gateway.pipeline.ownership import OwnedSession
from triptych_gateway.pipeline.retrying import Backoff

log = get_logger(__name__)

BATCH: Final = 1000
"""Photos that are recorded in one transaction."""
_BATCH_SECONDS: Final = 1.0
"""How long a batch may be gathered for: a slow file system shows its progress all the same."""
_HASH_SECONDS: Final = 0.5
"""How long a thread reads files before it asks whether to go on."""

ItemT = TypeVar("ItemT")
Found: TypeAlias = FoundPhoto | Problem | WalkedDirectory | Interruption


class PhotoDiscovery:
    """One discovery, from its beginning to its end."""

    def __init__(self, owned: OwnedSession, roots: MediaRoots) -> None:
        self._owned = owned
        self._roots = roots
        self._found = 0
        self._walked: set[bytes] = set()
        self._sizes: set[int] = set()
        """Sizes of which all photos that left their paths are known."""
        self._left = LeftPhotos()

    async def run(self, session: Session) -> int:
        """Record every photo of the session's directories, and which known ones are gone; returns how many it has.

        A store that is away is waited for. Raises LeaseLostError and what a lost database raises; it can then begin
        again.
        """
        async with self._owned.write() as connection:
            await photos.forget_discovery(connection, session.id)
            chosen = await sessions.selected_directories(connection, session.id)
            ignored = await directories.ignored_directories(connection)
        options = tree_options(session, chosen, ignored)
        walk = discover(options, self._roots)
        backoff = Backoff()
        while batch := await asyncio.to_thread(_gather, walk):
            await self._record(batch)
            if isinstance(batch[-1], Interruption):
                await self._wait(backoff, batch[-1].message)
            else:
                backoff.reset()
        await self._mark_missing(options)
        async with self._owned.read() as connection:
            return sum((await jobs.count_jobs(connection, session.id)).values())

    async def _record(self, batch: Sequence[Found]) -> None:
        self._walked.update(entry.path for entry in batch if isinstance(entry, WalkedDirectory))
        found = [entry for entry in batch if isinstance(entry, FoundPhoto)]
        found = await self._recognise(found) if found else []
        self._found += len(found)
        async with self._owned.write() as connection:
            await sessions.count_found(connection, self._owned.session_id, self._found)
            if found:
                await photos.add_photos(connection, self._owned.session_id, found)
            await photos.add_problems(
                connection, self._owned.session_id, [entry for entry in batch if isinstance(entry, Problem)]
            )

    async def _recognise(self, found: list[FoundPhoto]) -> list[FoundPhoto]:
        """Read those files of which only the content can tell what they are, and let known photos move to them."""
        async with self._owned.read() as connection:
            known = await moves.known_photos(connection, [photo.path for photo in found])
        found = [_with_known_hash(photo, known.get(photo.path)) for photo in found]
        found = await self._with_hashes(found, lambda photo: _is_touched(photo, known.get(photo.path)))
        new = {photo.path for photo in found if _is_new(photo, known.get(photo.path))}
        await self._look_for_left({photo.size_bytes for photo in found if photo.path in new})
        sizes = self._left.sizes
        found = await self._with_hashes(found, lambda photo: photo.path in new and photo.size_bytes in sizes)
        moved = await self._patiently(lambda: self._match([photo for photo in found if photo.path in new]))
        if moved:
            async with self._owned.write() as connection:
                displaced = await moves.move_photos(connection, moved)
            for asset_id, path in displaced.items():
                self._left.relocate(asset_id, path)
            log.info("moved photos recognised", session=self._owned.session_id, photos=len(moved))
        return found

    async def _with_hashes(self, found: Sequence[FoundPhoto], needs: Callable[[FoundPhoto], bool]) -> list[FoundPhoto]:
        """The photos, those in need of it with the hash of their content."""
        waiting = [photo.path for photo in found if photo.content_sha256 is None and needs(photo)]
        hashes: dict[bytes, bytes | None] = {}
        while len(hashes) < len(waiting):
            some = waiting[len(hashes) :]
            hashes |= await self._patiently(lambda: dict(hash_for(some, self._roots, seconds=_HASH_SECONDS)))  # noqa: B023 - awaited at once
        return [replace(photo, content_sha256=hashes[photo.path]) if photo.path in hashes else photo for photo in found]

    async def _look_for_left(self, sizes: set[int]) -> None:
        """Find the known photos of some sizes whose content is no longer under their paths."""
        asked = sizes - self._sizes
        if not asked:
            return
        async with self._owned.read() as connection:
            async for candidates in moves.photos_of_size(connection, sorted(asked)):
                for photo in await self._patiently(lambda: [p for p in candidates if has_left(p, self._roots)]):  # noqa: B023
                    self._left.add(photo)
        self._sizes |= asked

    def _match(self, found: Sequence[FoundPhoto]) -> list[Move]:
        """Which photos moved to which paths: each once, those that kept their names first. Raises AwayError."""
        moved: dict[bytes, Move] = {}
        taken: list[KnownPhoto] = []
        try:
            for same_name in (True, False):
                for photo in found:
                    if photo.path in moved:
                        continue
                    while (known := self._left.take(photo, same_name=same_name)) is not None:
                        taken.append(known)
                        # It may have come back, or been moved by another session, since it was looked for.
                        if known.path != photo.path and has_left(known, self._roots):
                            moved[photo.path] = Move(known=known, found=photo)
                            break
        except AwayError:
            for known in taken:
                self._left.add(known)
            raise
        return list(moved.values())

    async def _mark_missing(self, options: TreeOptions) -> None:
        """Record which known photos of the walked directories are gone."""
        chosen = frozenset(options.directories)
        for directory in sorted(chosen):
            if options.recursive and is_below(directory, chosen - {directory}):
                continue
            after = b""
            while True:
                async with self._owned.read() as connection:
                    unfound = await missing.known_but_not_found(
                        connection,
                        self._owned.session_id,
                        directory,
                        recursive=options.recursive,
                        after=after,
                        limit=BATCH,
                    )
                if not unfound:
                    break
                after = unfound[-1]
                left = await self._patiently(
                    lambda: gone(unfound, self._roots, walked=self._walked, ignored=options.ignored)  # noqa: B023
                )
                if left:
                    async with self._owned.write() as connection:
                        await missing.mark_missing(connection, left)
                    log.info("photos are gone", session=self._owned.session_id, photos=len(left))

    async def _patiently(self, look: Callable[[], ItemT]) -> ItemT:
        """What a thread finds out, asked again for as long as a store is away."""
        backoff = Backoff()
        while True:
            try:
                return await asyncio.to_thread(look)
            except AwayError as error:
                await self._wait(backoff, error.message)

    async def _wait(self, backoff: Backoff, why: str) -> None:
        log.warning("discovery waits for a store", session=self._owned.session_id, error=why)
        await backoff.wait()


def tree_options(session: Session, chosen: Sequence[bytes], ignored: Sequence[bytes]) -> TreeOptions:
    """Where and how a session looks."""
    options = TreeOptions(
        directories=tuple(chosen), recursive=session.config.get("recursive", True), ignored=ignored_paths(ignored)
    )
    named = session.config.get("extensions")
    return replace(options, extensions=frozenset(map(normalised_extension, named))) if named else options


def _gather(entries: Iterator[Found]) -> list[Found]:
    """The next entries: as many as a batch holds, or as come within a while, or until an interruption."""
    deadline = time.monotonic() + _BATCH_SECONDS
    gathered = []
    for entry in itertools.islice(entries, BATCH):
        gathered.append(entry)
        if isinstance(entry, Interruption) or time.monotonic() > deadline:
            break
    return gathered


def _with_known_hash(photo: FoundPhoto, known: KnownPhoto | None) -> FoundPhoto:
    """The photo, with the hash that is known of it where its store says that its content is the same."""
    is_same = (
        known is not None
        and is_object_path(photo.path)
        and photo.size_bytes == known.size_bytes
        and have_same_tag(photo.modified_ns, known.modified_ns)
    )
    return replace(photo, content_sha256=known.content_sha256) if known is not None and is_same else photo


def _is_touched(photo: FoundPhoto, known: KnownPhoto | None) -> bool:
    """Whether only the time of change tells a file from the one that is known."""
    return (
        photo.is_readable
        and known is not None
        and known.content_sha256 is not None
        and photo.size_bytes == known.size_bytes
        and photo.modified_ns != known.modified_ns
    )


def _is_new(photo: FoundPhoto, known: KnownPhoto | None) -> bool:
    """Whether a file's content may have come from elsewhere: none is known under its path, or another one."""
    if not photo.is_readable or photo.size_bytes == 0:
        return False
    if known is None or photo.size_bytes != known.size_bytes:
        return True
    return photo.content_sha256 is not None and photo.content_sha256 != known.content_sha256
