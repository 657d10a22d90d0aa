"""Whether files are those that the manifest pins."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from triptych_common.model_store.manifest import PinnedFile

_CHUNK_BYTES = 2**20


def problem_of(path: Path, file: PinnedFile, *, on_read: Callable[[int], None] = lambda _: None) -> str | None:
    """What is wrong with a file, as part of a sentence; None where it is just what is pinned.

    ``on_read`` is called with the number of bytes read so far.
    """
    problem = size_problem_of(path, file)
    if problem is not None:
        return problem
    try:
        found = sha256_of(path, on_read=on_read)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return None if found == file.sha256 else f"{path} has other content than it should (its SHA-256 differs)"


def size_problem_of(path: Path, file: PinnedFile) -> str | None:
    """What can be told without reading the file; None where it is there and has the size that is pinned."""
    try:
        found_bytes = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if found_bytes < file.size_bytes:
        return f"{path} is cut short ({found_bytes:,} of {file.size_bytes:,} bytes)"
    return None if found_bytes == file.size_bytes else f"{path} is another file ({found_bytes:,} bytes)"


def sha256_of(path: Path, *, on_read: Callable[[int], None] = lambda _: None) -> str:
    """The hexadecimal SHA-256 of a file's content. Raises OSError."""
    digest = hashlib.sha256()
    read_bytes = 0
    with path.open("rb") as stream:
        for chunk in chunks_of(stream):
            digest.update(chunk)
            read_bytes += len(chunk)
            on_read(read_bytes)
    return digest.hexdigest()


def chunks_of(stream: IO[bytes]) -> Iterator[bytes]:
    """The content of a stream from where it is, in pieces of at most 1 MiB."""
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
