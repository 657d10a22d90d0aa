"""Brings an entry's weights into the models directory: whole, checked, once at a time."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from triptych_common.model_store.checking import problem_of
from triptych_common.model_store.errors import LicenceNotAccepted, PlaceError
from triptych_common.model_store.listening import Listener, Step
from triptych_common.model_store.locating import entry_directory
from triptych_common.model_store.manifest import Download, Entry, PinnedFile
from triptych_common.model_store.offline import copy_offline, find_offline, missing_offline
from triptych_common.model_store.part import Part
from triptych_common.model_store.transfer import TransferOptions, open_client, transfer
from triptych_common.model_store.unpacking import unpack
from triptych_common.model_store.workshop import alone, workshop_of

# Room for what else is written meanwhile.
_SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class FetchOptions:
    """Where weights come from."""

    offline: Path | None = None
    """A directory that has them; then no connection is made."""
    mirror: str | None = None
    """Base of URLs that stand for the manifest's: ``MIRROR/backend/model/file``."""
    licence_accepted: bool = False
    """Whether somebody has accepted a licence that forbids commercial use."""
    transfer: TransferOptions = field(default_factory=TransferOptions)


def fetch(entry: Entry, models_dir: Path, options: FetchOptions, listener: Listener) -> bool:
    """Have all files of an entry in its directory, as they are pinned; False where they were there before.

    Files that are there and right are left; a damaged one is replaced. Only one fetch of an entry works at a time, in
    whatever process. Interrupted, it leaves what has come so far beside the directory, and the next one goes on.
    Raises LicenceNotAccepted, TransferError, PlaceError.
    """
    work = _Fetch(entry=entry, models_dir=models_dir, options=options, listener=listener)
    try:
        if not work.wrong_files():
            return False
        require_licence(entry, accepted=options.licence_accepted)
        with alone(entry, models_dir, listener):
            # Another fetch may have brought them while this one waited.
            wrong = work.wrong_files()
            if wrong:
                work.bring(wrong)
            return bool(wrong)
    except OSError as error:
        raise PlaceError.of(error, models_dir) from error


def require_licence(entry: Entry, *, accepted: bool) -> None:
    """Raise LicenceNotAccepted where an entry's licence must be accepted and is not."""
    if entry.licence.non_commercial and not accepted:
        raise LicenceNotAccepted(
            f"{entry.name} is licensed as {entry.licence.name!r} ({entry.licence.url}): if that fits your use, accept"
            " it with --accept-licence (of `make models` with ACCEPT_LICENCE=1)."
        )


def _brought_by(download: Download) -> tuple[PinnedFile, ...]:
    return tuple(member.file for member in download.members) or (download.file,)


@dataclass(frozen=True, kw_only=True)
class _Fetch:
    """One call of `fetch`."""

    entry: Entry
    models_dir: Path
    options: FetchOptions
    listener: Listener

    @property
    def directory(self) -> Path:
        return entry_directory(self.entry.name, self.models_dir)

    @property
    def workshop(self) -> Path:
        return workshop_of(self.entry, self.models_dir)

    @property
    def whole(self) -> Path:
        """Where the files gather that are right."""
        return self.workshop / "whole"

    def wrong_files(self) -> list[PinnedFile]:
        """Those that are missing or not as they are pinned."""

        def is_wrong(file: PinnedFile) -> bool:
            def on_read(done: int) -> None:
                self.listener.on_progress(Step.CHECKING, file.name, done, file.size_bytes)

            return problem_of(self.directory / file.name, file, on_read=on_read) is not None

        return [file for file in self.entry.files if is_wrong(file)]

    def bring(self, wrong: list[PinnedFile]) -> None:
        """Get the files that are wrong, and put them in place together."""
        # Of an earlier attempt: unpacking again is quick, and nothing that is in there needs another check.
        if self.whole.exists():
            shutil.rmtree(self.whole)
        self.whole.mkdir(parents=True)
        downloads = [one for one in self.entry.downloads if any(file in wrong for file in _brought_by(one))]
        self._require_space(downloads)
        if self.options.offline is not None:
            for download in downloads:
                self._copy(download, self.options.offline)
        else:
            with open_client(self.options.transfer) as client:
                for download in downloads:
                    self._download(download, client)
        self._put_in_place()
        shutil.rmtree(self.workshop)

    def _require_space(self, downloads: list[Download]) -> None:
        """Raise PlaceError before hundreds of megabytes have come that will not fit."""
        needed_bytes = _SPARE_BYTES
        for download in downloads:
            needed_bytes += max(download.file.size_bytes - self._part(download.file).had_bytes, 0)
            needed_bytes += sum(member.file.size_bytes for member in download.members)
        free_bytes = shutil.disk_usage(self.workshop).free
        if free_bytes < needed_bytes:
            raise PlaceError(
                f"{needed_bytes / 1e6:,.0f} MB are needed and {free_bytes / 1e6:,.0f} MB are free at {self.models_dir}:"
                " free some space, or name another disk by TRIPTYCH_MODELS_DIR."
            )

    def _part(self, file: PinnedFile) -> Part:
        return Part(self.workshop / f"{file.name}.part", file)

    def _download(self, download: Download, client: httpx.Client) -> None:
        file = download.file
        url = download.url
        if self.options.mirror is not None:
            url = f"{self.options.mirror.rstrip('/')}/{self.entry.name}/{file.name}"
        place = (self.workshop if download.members else self.whole) / file.name
        if problem_of(place, file) is not None:
            with self._part(file) as part:
                transfer(client, url, part, options=self.options.transfer, listener=self.listener)
                part.put_in_place(place)
        if download.members:
            unpack(place, download.members, self.whole, self.listener)

    def _copy(self, download: Download, source: Path) -> None:
        """A download's files out of a directory: the files themselves where it has them, else the archive."""
        found = [(file, find_offline(self.entry, file, source)) for file in _brought_by(download)]
        if all(path is not None for _, path in found):
            for file, path in found:
                if path is not None:
                    copy_offline(path, file, self.whole / file.name, self.listener)
            return
        archive = find_offline(self.entry, download.file, source) if download.members else None
        if archive is None:
            raise missing_offline(self.entry, download, source)
        place = self.workshop / download.file.name
        copy_offline(archive, download.file, place, self.listener)
        unpack(place, download.members, self.whole, self.listener)

    def _put_in_place(self) -> None:
        """Rename all at once where there was nothing; into a directory with right files, one after the other."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        if not self.directory.exists():
            self.whole.rename(self.directory)
            return
        for path in self.whole.iterdir():
            path.replace(self.directory / path.name)
