"""Photos in buckets of S3 and of stores that speak its protocol, through s3fs; see docs/decisions/0024.

Bucket and key are given to the client apart, as they were checked: no other code takes a path to pieces in between.
"""

import asyncio
import errno
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from fsspec.asyn import sync

from triptych_common.errors import AwayError
from triptych_common.media.object_client import file_system
from triptych_common.media.object_names import is_plain_key, is_under, plain_parts
from triptych_common.media.object_times import object_time_ns
from triptych_common.media.store_errors import (
    RETRY_AFTER_SECONDS,
    BrokenOffError,
    NoSuchBucketError,
    store_error,
)
from triptych_common.media.stores import Entry, FileStatus, OpenedFile, Page, check_size, outside
from triptych_common.store_access import StoreAccess

READ_SECONDS: Final = 90.0
"""How long a photo may take to read: less than the silence after which a worker is taken for lost."""
PAGE_OBJECTS: Final = 1000
"""As many as a store lists at once."""
_PIECE_BYTES: Final = 8 * 2**20
_PIECE_SECONDS: Final = 30.0
"""How long so much may take: a trickle is as good as nothing."""
_ATTEMPTS: Final = 3
"""Answers that may break off, each after it began, before an object is given up."""
_ASKED_AT_ONCE: Final = 16

ResultT = TypeVar("ResultT")


class ObjectStore:
    """Prefixes of buckets under which photos may be read; see MediaStore.

    An answer that does not come makes every question of the next moments end at once, so that work that waits for a
    store does not keep threads from work that does not.
    """

    def __init__(self, roots: Sequence[bytes], access: StoreAccess) -> None:
        self._roots = tuple(roots)
        self._files = file_system(access)
        self._lock = threading.Lock()
        self._away: AwayError | None = None
        self._away_until = 0.0

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The roots: ``s3://bucket`` or ``s3://bucket/prefix``."""
        return self._roots

    def resolve(self, path: bytes) -> bytes | None:
        """The path itself if it is plain and lies under a root, else None. The store is not asked."""
        if plain_parts(path) is None or not any(is_under(path, root) for root in self._roots):
            return None
        return path

    def entries(self, directory: bytes) -> Iterator[Entry]:
        """What a directory holds. One without anything in it is not there, unless it is a root. Raises OSError."""
        following: str | None = None
        is_empty = directory not in self._roots
        while True:
            page = self.page(directory, following=following)
            is_empty = is_empty and not (page.files or page.directories or page.unreachable)
            if is_empty and page.following is None:
                self._raise_for_nothing(directory)
            yield from (Entry(name, "directory") for name in page.directories)
            start = len(directory) + 1
            yield from (Entry(path[start:], "file", status) for path, status in page.files)
            following = page.following
            if following is None:
                return

    def page(self, directory: bytes, *, recursive: bool = False, following: str | None = None) -> Page:
        """A part of what a directory holds, or also of all below it. Raises OSError, AwayError."""
        bucket, key = self._allowed(directory)
        prefix = f"{key}/" if key else ""
        question: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "MaxKeys": PAGE_OBJECTS}
        if not recursive:
            question["Delimiter"] = "/"
        if following is not None:
            question["ContinuationToken"] = following
        answer = self._ask(bucket, lambda: self._call("list_objects_v2", **question))
        return _page(answer, bucket=bucket, prefix=prefix)

    def stat(self, path: bytes) -> FileStatus:
        """Size and time of an object, as listing tells them. Raises OSError, AwayError."""
        bucket, key = self._allowed(path)
        return self._ask(bucket, lambda: self._stat(bucket, key))

    def absent(self, paths: Sequence[bytes]) -> frozenset[bytes]:
        """Those of some paths under which there is certainly no object. Raises OSError, AwayError."""
        asked = {path: self._allowed(path) for path in paths}
        if not asked:
            return frozenset()
        bucket, _ = asked[paths[0]]
        return self._ask(bucket, lambda: self._absent(asked))

    def open(self, path: bytes) -> OpenedFile:
        """Open an object as it is now: what replaces it meanwhile is not read. Raises as MediaStore says."""
        bucket, key = self._allowed(path)
        answer = self._ask(bucket, lambda: self._call("get_object", Bucket=bucket, Key=key))
        return OpenedFile(
            content=_ObjectContent(self._files.loop, answer["Body"]),
            size_bytes=answer["ContentLength"],
            version=f"{answer['ETag']}-{answer['LastModified'].timestamp()}",
        )

    def read(self, path: bytes, *, max_bytes: int) -> bytes:
        """The whole of an object, whose size the store tells before the first byte. Raises as MediaStore says."""
        deadline = time.monotonic() + READ_SECONDS
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._read_once(path, max_bytes=max_bytes, deadline=deadline)
            except BrokenOffError:
                # The store answered each time: it is there, and cannot give this one.
                if attempt == _ATTEMPTS or time.monotonic() > deadline:
                    raise
        raise AssertionError("unreachable")

    def _read_once(self, path: bytes, *, max_bytes: int, deadline: float) -> bytes:
        with self.open(path) as file:
            check_size(file.size_bytes, max_bytes)
            pieces = []
            read_bytes = 0
            while piece := file.content.read(_PIECE_BYTES):
                pieces.append(piece)
                read_bytes += len(piece)
                check_size(read_bytes, max_bytes)
                if time.monotonic() > deadline:
                    raise BrokenOffError(errno.ETIMEDOUT, f"the object did not come within {READ_SECONDS:.0f} s")
        if read_bytes < file.size_bytes:
            raise BrokenOffError(errno.EIO, "the object store broke off its answer")
        return b"".join(pieces)

    def _allowed(self, path: bytes) -> tuple[str, str]:
        parts = plain_parts(path) if self.resolve(path) is not None else None
        if parts is None:
            raise outside()
        return parts

    def _raise_for_nothing(self, directory: bytes) -> None:
        try:
            self.stat(directory)
        except IsADirectoryError:
            # Something was put there since it was listed.
            return
        raise NotADirectoryError(errno.ENOTDIR, "this is an object, not a directory")

    async def _call(self, method: str, **parameters: Any) -> Any:
        return await self._files._call_s3(method, **parameters)

    async def _stat(self, bucket: str, key: str) -> FileStatus:
        # Where there is an object of this very key, it is the first of those that begin so. Unlike HEAD, this tells
        # a bucket that is gone from an object that is, and times as listing does.
        answer = await self._call("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
        first = next(iter(answer.get("Contents", ())), None)
        if first is None:
            raise FileNotFoundError(errno.ENOENT, "the object does not exist")
        if first["Key"] == key:
            return _status(first)
        if first["Key"].startswith(f"{key}/"):
            raise IsADirectoryError(errno.EISDIR, "this is a directory of objects")
        raise FileNotFoundError(errno.ENOENT, "the object does not exist")

    async def _absent(self, asked: Mapping[bytes, tuple[str, str]]) -> frozenset[bytes]:
        turns = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def is_absent(bucket: str, key: str) -> bool:
            async with turns:
                try:
                    await self._stat(bucket, key)
                except FileNotFoundError as error:
                    return not isinstance(store_error(error, bucket), NoSuchBucketError)
                except IsADirectoryError:
                    return True
            return False

        answers = await asyncio.gather(*(is_absent(*parts) for parts in asked.values()))
        return frozenset(path for path, answer in zip(asked, answers, strict=True) if answer)

    def _ask(self, bucket: str, question: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Ask the store, on the thread of its client. Raises OSError, AwayError, and what is no error of a store."""
        with self._lock:
            if self._away is not None and time.monotonic() < self._away_until:
                raise self._away
        try:
            result: ResultT = sync(self._files.loop, question)
        except Exception as error:
            meant = store_error(error, bucket)
            if isinstance(meant, AwayError):
                with self._lock:
                    self._away, self._away_until = meant, time.monotonic() + RETRY_AFTER_SECONDS
            if meant is None or meant is error:
                raise
            raise meant from error
        return result


class _ObjectContent:
    """The body of an answer, read from other threads than that of the client."""

    def __init__(self, loop: asyncio.AbstractEventLoop, body: Any) -> None:
        self._loop = loop
        self._body = body

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes, empty only at the end. Raises BrokenOffError."""
        try:
            content: bytes = sync(self._loop, self._read, min(size, _PIECE_BYTES))
        except Exception as error:
            raise BrokenOffError(
                errno.EIO, f"the object store broke off its answer ({type(error).__name__})"
            ) from error
        return content

    def close(self) -> None:
        """Let go of the connection, which ends where the body was not read to its end."""
        self._loop.call_soon_threadsafe(self._body.close)

    async def _read(self, size: int) -> bytes:
        pieces: list[bytes] = []
        async with asyncio.timeout(_PIECE_SECONDS):
            while size > 0 and (piece := await self._body.read(size)):
                pieces.append(piece)
                size -= len(piece)
        return b"".join(pieces)


def _page(answer: Any, *, bucket: str, prefix: str) -> Page:
    files: list[tuple[bytes, FileStatus]] = []
    directories: list[bytes] = []
    unreachable: list[bytes] = []
    base = b"s3://%s/" % bucket.encode()
    for entry in answer.get("Contents", ()):
        key = entry["Key"].encode()
        if key.endswith(b"/") and (key == prefix.encode() or is_plain_key(key[:-1])):
            continue  # stands for a directory, where somebody made one by hand
        if is_plain_key(key):
            files.append((base + key, _status(entry)))
        else:
            unreachable.append(base + key)
    for entry in answer.get("CommonPrefixes", ()):
        key = entry["Prefix"].encode()
        if is_plain_key(key[:-1]):
            directories.append(key[len(prefix.encode()) : -1])
        else:
            unreachable.append(base + key)
    return Page(
        files=tuple(files),
        directories=tuple(directories),
        unreachable=tuple(unreachable),
        following=answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
    )


def _status(entry: Any) -> FileStatus:
    return FileStatus(entry["Size"], object_time_ns(entry["LastModified"], entry.get("ETag", "")))
