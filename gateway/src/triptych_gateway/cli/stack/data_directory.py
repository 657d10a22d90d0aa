"""Where an installation keeps its data, and the lock that gives it to one stack at a time."""

import contextlib
import fcntl
import os
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.waiting import wait_until

DATA_DIRECTORY_VARIABLE = "TRIPTYCH_DATA_DIR"
SYSTEM_DIRECTORY = Path("/var/lib/triptych")

_LOCK_PATIENCE_SECONDS = 2.0
_LOCK_INTERVAL_SECONDS = 0.05
_PRIVATE, _PUBLIC, _PASSABLE = 0o700, 0o755, 0o711


@dataclass(frozen=True, kw_only=True)
class DataDirectory:
    """The directory of one installation; everything that must outlive a process lies in it."""

    root: Path
    """Absolute; need not exist until `create` is called."""

    @classmethod
    def resolve(cls, chosen: Path | None, environment: Mapping[str, str] = os.environ) -> "DataDirectory":
        """`chosen`, else `TRIPTYCH_DATA_DIR`, else /var/lib/triptych for root, ~/.local/share/triptych for others."""
        if chosen is not None:
            return cls(root=chosen.expanduser().absolute())
        named = environment.get(DATA_DIRECTORY_VARIABLE)
        if named:
            return cls(root=Path(named).expanduser().absolute())
        if os.geteuid() == 0:
            return cls(root=SYSTEM_DIRECTORY)
        return cls(root=Path.home() / ".local" / "share" / "triptych")

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data, socket and password, unless its user cannot reach them here."""
        return self.root / "postgres"

    @property
    def nats(self) -> Path:
        """JetStream's files and the NATS server's configuration."""
        return self.root / "nats"

    @property
    def run(self) -> Path:
        """The lock and what describes the running stack."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.root / "logs"

    @property
    def samples(self) -> Path:
        """The sample library; always a media root."""
        return self.root / "samples"

    @property
    def models(self) -> Path:
        """Weights that were fetched."""
        return self.root / "models"

    @property
    def chosen_models(self) -> Path:
        """The model of each service that a person has chosen."""
        return self.root / "models.json"

    @property
    def cache(self) -> Path:
        """What can be computed again."""
        return self.root / "cache"

    @property
    def lock(self) -> Path:
        """Held with flock(2) by the running stack; its text is that stack's process id."""
        return self.run / "lock"

    @property
    def record(self) -> Path:
        """The running stack's processes, addresses and URLs (0600: the URLs hold passwords)."""
        return self.run / "stack.json"

    def create(self) -> None:
        """Creates what is missing, and closes to others the directories that hold secrets or names of photos.

        `postgres` is left to whoever runs PostgreSQL: it belongs to another user when this process is root.

        Raises:
            StackError: a directory cannot be created or belongs to someone else.
        """
        private = (self.nats, self.run, self.logs, self.cache)
        public = (self.samples, self.models)
        try:
            if not self.root.exists():
                # Root's PostgreSQL runs as another user, who must be able to pass through to its own directory.
                create_directory(self.root, _PASSABLE if os.geteuid() == 0 else _PRIVATE)
            for directory in (*private, *public):
                create_directory(directory, _PRIVATE if directory in private else _PUBLIC)
            for directory in private:
                if stat.S_IMODE(directory.stat().st_mode) != _PRIVATE:
                    directory.chmod(_PRIVATE)
        except OSError as error:
            raise StackError(
                f"The data directory {self.root} cannot be used: {error.strerror} ({error.filename}). "
                f"Choose another with --data-dir or {DATA_DIRECTORY_VARIABLE}."
            ) from error

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Holds the directory for this process; the kernel lets go when the process ends, however it ends.

        Raises:
            StackError: another process holds it; names that process.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    async def _lock(self, descriptor: int) -> None:
        # A look by `holder` takes the lock for an instant, and a stack that is just ending lets go soon.
        if await wait_until(
            lambda: _try_lock(descriptor, fcntl.LOCK_EX),
            deadline_seconds=_LOCK_PATIENCE_SECONDS,
            interval_seconds=_LOCK_INTERVAL_SECONDS,
        ):
            return
        raise StackError(
            f"Another triptych (process {_read_process_id(descriptor) or 'unknown'}) already uses the data directory "
            f"{self.root}. Stop it, or choose another with --data-dir or {DATA_DIRECTORY_VARIABLE}."
        )

    def holder(self) -> int | None:
        """The process id of the stack that holds this directory; None when no stack does.

        Raises:
            OSError: the lock exists and this user may not read it.
        """
        with _opened_if_present(self.lock) as descriptor:
            if descriptor is None or _try_lock(descriptor, fcntl.LOCK_SH):
                return None
            return _read_process_id(descriptor)


def create_directory(path: Path, mode: int) -> None:
    """Creates `path` with exactly `mode` whatever the umask; its parents get the default mode; leaves an existing one.

    Raises:
        OSError: it cannot be created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(mode=_PRIVATE)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        path.chmod(mode)


def write_private(path: Path, text: str) -> None:
    """Writes `text` to `path` so that a reader sees the old or the new whole, and only its owner may read it.

    Raises:
        OSError: it cannot be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_process_id(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdecimal() else None


@contextlib.contextmanager
def _opened_if_present(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)
