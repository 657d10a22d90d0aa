"""Members out of a zip archive: only those that are pinned, only as large, and never under a name of the archive's."""

import hashlib
import os
import zipfile
import zlib
from pathlib import Path

from triptych_common.model_store.checking import chunks_of
from triptych_common.model_store.errors import TransferError
from triptych_common.model_store.listening import Listener, Step
from triptych_common.model_store.manifest import Member

# What zipfile raises for damage, encryption, and methods that it does not know.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


def unpack(archive: Path, members: tuple[Member, ...], directory: Path, listener: Listener) -> None:
    """Write each member to its pinned name in ``directory``.

    Raises TransferError where the archive is damaged, lacks one, or holds one of another size or content; OSError
    where it cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in members:
                _unpack_member(opened, member, directory / member.file.name, listener)
    except KeyError as error:
        raise TransferError(f"{archive.name} does not hold what it should: {error.args[0]}.") from error
    except _ARCHIVE_ERRORS as error:
        raise TransferError(f"{archive.name} cannot be unpacked: {error}.") from error


def _unpack_member(opened: zipfile.ZipFile, member: Member, place: Path, listener: Listener) -> None:
    file = member.file
    described = opened.getinfo(member.path)
    # The archive's own word: a bomb that lies here is stopped below.
    if described.file_size != file.size_bytes:
        raise TransferError(f"{member.path} in the archive has {described.file_size:,} bytes, not {file.size_bytes:,}.")
    digest = hashlib.sha256()
    written_bytes = 0
    with opened.open(described) as source, place.open("wb") as target:
        for chunk in chunks_of(source):
            written_bytes += len(chunk)
            if written_bytes > file.size_bytes:
                raise TransferError(f"{member.path} in the archive is larger than it says.")
            digest.update(chunk)
            target.write(chunk)
            listener.on_progress(Step.UNPACKING, file.name, written_bytes, file.size_bytes)
        target.flush()
        os.fsync(target.fileno())
    if digest.hexdigest() != file.sha256:
        raise TransferError(f"{member.path} in the archive is not what it should be (its SHA-256 differs).")
