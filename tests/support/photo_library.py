"""A media root of real files that sessions are discovered over, as the pipeline does it."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.catalogue import DIMENSION, FACES, MODEL, WEIGHTS, begin, detected, items_of, table
from triptych_common.media.locations import MediaRoots
from triptych_gateway.catalog.library import directories
from triptych_gateway.catalog.runs import leases, lifecycle, results
from triptych_gateway.catalog.runs.results import Outcome, PhotoFacts
from triptych_gateway.catalog.sessions import control, sessions
from triptych_gateway.pipeline.discovery.photo_discovery import PhotoDiscovery
from triptych_gateway.pipeline.ownership import OwnedSession


@dataclass(frozen=True, kw_only=True)
class Row:
    """A photo's row."""

    id: int
    version: int
    is_missing: bool
    is_trained: bool


@dataclass(frozen=True, kw_only=True)
class PhotoLibrary:
    """Files, and the catalogue of them."""

    engine: AsyncEngine
    root: Path

    @property
    def base(self) -> bytes:
        """The path of the root."""
        return os.fsencode(self.root)

    @property
    def roots(self) -> MediaRoots:
        """The media roots."""
        return MediaRoots([str(self.root)])

    def content_of(self, path: bytes) -> bytes:
        """The hash of a file, as a service would take it."""
        return hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()

    def photo(self, name: str, content: str | None = None, *, modified: int | None = None) -> Path:
        """Write a file; its content is its name where none is given."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if content is not None else name)
        if modified is not None:
            os.utime(path, (modified, modified))
        return path

    async def take(self, *chosen: Path | bytes, **config: Any) -> OwnedSession:
        """A started session over some directories, or the root, under a lease."""
        async with self.engine.begin() as connection:
            session_id = await sessions.create_session(
                connection,
                name="n",
                root_path=self.base,
                directories=[os.fsencode(one) for one in chosen],
                config=config,
                weights=WEIGHTS,
                category_id=None,
                shard_size=16,
            )
            await control.start_session(connection, session_id)
            lease = await leases.claim(connection, holder=f"the test for {session_id}")
            # Nobody renews it here.
            await connection.execute(text("UPDATE leases SET expires_at = now() + interval '1 hour'"))
        assert lease is not None
        assert lease.session_id == session_id
        return OwnedSession(self.engine, lease)

    async def discover(self, owned: OwnedSession) -> int:
        """Discover a session to its end; returns how many photos it has."""
        async with owned.read() as connection:
            session = await sessions.get_session(connection, owned.session_id)
        count = await PhotoDiscovery(owned, self.roots).run(session)
        async with owned.write() as connection:
            await sessions.mark_discovered(connection, owned.session_id, photos_found=count)
        return count

    async def found(self, *chosen: Path | bytes, **config: Any) -> int:
        """The id of a session that was discovered."""
        owned = await self.take(*chosen, **config)
        await self.discover(owned)
        return owned.session_id

    async def trained(self, *chosen: Path | bytes, **config: Any) -> list[str]:
        """Discover a session and give its photos embeddings and a face each; returns the names that needed it."""
        owned = await self.take(*chosen, **config)
        await self.discover(owned)
        async with owned.write() as connection:
            run = await begin(connection, owned.session_id)
            items = await items_of(connection, run)
            outcomes = [
                Outcome(
                    item=item,
                    result=np.full(DIMENSION, 1.0, np.float32),
                    facts=PhotoFacts(
                        content_sha256=self.content_of(item.path),
                        width=1,
                        height=1,
                        taken_at="",
                    ),
                    processing_microseconds=1,
                )
                for item in items
            ]
            await results.write_outcomes(connection, run, outcomes, model_id=MODEL)
            faces = await begin(connection, owned.session_id, "face_detection", model=FACES)
            found = [detected(item, 1.0) for item in await items_of(connection, faces)]
            await results.write_outcomes(connection, faces, found, model_id=FACES)
            for one in (run, faces):
                await lifecycle.update_run(connection, one.id, status="completed")
        return self.names([item.path for item in items])

    async def ignore(self, name: str) -> None:
        """Put a directory on the list of those that no session walks."""
        async with self.engine.begin() as connection:
            await directories.ignore_directory(connection, self.base + b"/" + os.fsencode(name), reason=None)

    def names(self, paths: Sequence[bytes]) -> list[str]:
        """Paths as they are named under the root."""
        return sorted(os.path.relpath(os.fsdecode(path), self.root) for path in paths)

    async def rows(self) -> dict[str, Row]:
        """Every photo's row, by name."""
        query = "SELECT path, id, version, missing_at IS NOT NULL, trained_at IS NOT NULL FROM assets"
        async with self.engine.connect() as connection:
            return {
                self.names([path])[0]: Row(id=id_, version=version, is_missing=missing, is_trained=trained)
                for path, id_, version, missing, trained in await table(connection, query)
            }

    async def ids(self) -> dict[str, int]:
        """The ids of the photos that are not missing, by name."""
        return {name: row.id for name, row in (await self.rows()).items() if not row.is_missing}

    async def missing(self) -> list[str]:
        """Names of the photos that are missing."""
        return sorted(name for name, row in (await self.rows()).items() if row.is_missing)

    async def of_session(self, session_id: int) -> list[str]:
        """Names of a session's photos."""
        query = "SELECT a.path FROM session_assets s JOIN assets a ON a.id = s.asset_id WHERE s.session_id = :id"
        async with self.engine.connect() as connection:
            return self.names([row[0] for row in await table(connection, query, id=session_id)])

    async def problems(self, session_id: int) -> dict[str, str]:
        """Codes of what could not be read, by name."""
        query = "SELECT path, code FROM session_problems WHERE session_id = :id"
        async with self.engine.connect() as connection:
            return {self.names([path])[0]: code for path, code in await table(connection, query, id=session_id)}
