"""Where the embedded PostgreSQL keeps its files so that the user it runs as, and nobody else, can reach them."""

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triptych_gateway.cli.stack.data_directory import (
    DATA_DIRECTORY_VARIABLE,
    SYSTEM_DIRECTORY,
    DataDirectory,
    create_directory,
    write_private,
)
from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.unix_user import UnixUser, first_closed_directory, unprivileged_user

SOCKET_PORT = 5432
"""Only names the socket; there is no TCP port."""

# sockaddr_un's sun_path holds 108 bytes on Linux, the closing zero among them (unix(7)).
_LONGEST_SOCKET_PATH_BYTES = 107
_LOCATION_FILE = "postgres-location"
_PRIVATE, _PASSABLE = 0o700, 0o711


@dataclass(frozen=True, kw_only=True)
class PostgresPlace:
    """A directory (0700) of PostgreSQL's own, with its data, password and socket."""

    root: Path
    user: UnixUser | None
    """Whom PostgreSQL runs as and who owns it all; None: the present user."""

    @property
    def data(self) -> Path:
        """PGDATA; there once `initdb` has succeeded."""
        return self.root / "data"

    @property
    def password_file(self) -> Path:
        """The password of the role `triptych`, 0600."""
        return self.root / "password"

    @property
    def owner_file(self) -> Path:
        """Names the data directory that this place belongs to when it lies elsewhere."""
        return self.root / "belongs-to"

    def password(self) -> str:
        """The kept password, made when there is none.

        Raises:
            StackError: there is data but its password is gone.
            OSError: it cannot be read or written.
        """
        if self.password_file.exists():
            return self.password_file.read_text(encoding="ascii").strip()
        if self.data.exists():
            raise StackError(
                f"The password of the database in {self.data} is gone: put {self.password_file} back, or move the "
                "directory away to begin with an empty catalogue."
            )
        password = secrets.token_hex(24)
        write_private(self.password_file, password + "\n")
        self.give(self.password_file)
        return password

    def gateway_password(self) -> str:
        """The kept password of the role that the gateway works as, made when there is none.

        Raises:
            OSError: it cannot be read or written.
        """
        path = self.root / "gateway-password"
        if path.exists():
            return path.read_text(encoding="ascii").strip()
        password = secrets.token_hex(24)
        write_private(path, password + "\n")
        return password

    def give(self, path: Path) -> None:
        """Makes `path` PostgreSQL's own.

        Raises:
            OSError: not allowed.
        """
        if self.user is not None:
            os.chown(path, self.user.user_id, self.user.group_id)

    def socket_directory(self) -> Path:
        """The directory (0700) of the socket: in this place, or a short temporary one when the path would be too long.

        The temporary one is remembered and used again, so that a killed stack leaves no more than one.

        Raises:
            StackError: even the temporary directory's path is too long.
            OSError: it cannot be created.
        """
        inside = self.root / "socket"
        if _fits(inside):
            create_directory(inside, _PRIVATE)
            self.give(inside)
            return inside
        remembered = self._remembered_socket_directory
        if remembered.exists():
            earlier = Path(remembered.read_text(encoding="utf-8").strip())
            if self._is_ours(earlier):
                return earlier
        short = Path(tempfile.mkdtemp(prefix="triptych-"))
        if not _fits(short):
            short.rmdir()
            raise StackError(f"No socket fits into {tempfile.gettempdir()}: set TMPDIR to a shorter path.")
        self.give(short)
        write_private(remembered, f"{short}\n")
        return short

    def remove_temporary(self, directory: Path) -> None:
        """Removes a socket directory of `socket_directory` that is temporary and empty, and forgets it."""
        if directory.is_relative_to(self.root):
            return
        with contextlib.suppress(FileNotFoundError):
            if not any(directory.iterdir()):
                directory.rmdir()
                self._remembered_socket_directory.unlink()

    @property
    def _remembered_socket_directory(self) -> Path:
        return self.root / "socket-directory"

    def _is_ours(self, directory: Path) -> bool:
        # The temporary directory is everyone's: a name may have been taken over since.
        try:
            status = directory.lstat()
        except FileNotFoundError:
            return False
        owner = self.user.user_id if self.user is not None else os.geteuid()
        return status.st_uid == owner and status.st_mode & 0o170777 == 0o040700


def find_place(data_directory: DataDirectory, say: Callable[[str], None]) -> PostgresPlace:
    """The place for this installation's database, created when it is new.

    It is inside the data directory wherever PostgreSQL's user can reach it. Only the data directory itself is opened
    (o+x) for that, never a directory above it: those are not ours. When one of them is closed, the place is a
    directory of its own under /var/lib/triptych, and a file in the data directory remembers which.

    Raises:
        StackError: an existing place cannot be reached any more, or none can be created.
    """
    user = unprivileged_user()
    try:
        root = _root_of(data_directory, user, say)
        place = PostgresPlace(root=root, user=user)
        create_directory(root, _PRIVATE)
        root.chmod(_PRIVATE)
        place.give(root)
        if root != data_directory.postgres:
            place.owner_file.write_text(f"{data_directory.root}\n", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise StackError(f"There is no place for PostgreSQL's data: {error.strerror} ({error.filename}).") from error
    return place


def _root_of(data_directory: DataDirectory, user: UnixUser | None, say: Callable[[str], None]) -> Path:
    location_file = data_directory.root / _LOCATION_FILE
    if location_file.exists():
        root = Path(location_file.read_text(encoding="utf-8").strip())
        say(f"PostgreSQL's data is in {root}.")
        return root
    if user is None:
        return data_directory.postgres
    closed = first_closed_directory(data_directory.root.parent, user)
    if closed is None:
        _let_pass(data_directory.root, user, say)
        return data_directory.postgres
    if data_directory.postgres.exists():
        raise StackError(
            f"PostgreSQL's data in {data_directory.postgres} cannot be reached by the user {user.name}, as whom it "
            f"runs: open {closed} to passers-by (chmod o+x), or choose another {DATA_DIRECTORY_VARIABLE}."
        )
    create_directory(SYSTEM_DIRECTORY, _PASSABLE)
    _let_pass(SYSTEM_DIRECTORY, user, say)
    root = SYSTEM_DIRECTORY / f"postgres-{secrets.token_hex(8)}"
    # The place first: a crash in between leaves an empty directory, not a pointer to nothing.
    create_directory(root, _PRIVATE)
    write_private(location_file, f"{root}\n")
    say(f"PostgreSQL's data goes to {root}: the user {user.name}, as whom it runs, cannot pass through {closed}.")
    return root


def _let_pass(directory: Path, user: UnixUser, say: Callable[[str], None]) -> None:
    if first_closed_directory(directory, user) == directory.resolve():
        directory.chmod(directory.stat().st_mode & 0o7777 | 0o001)
        say(f"Opened {directory} to passers-by (o+x) for PostgreSQL, which runs as {user.name}.")


def _fits(directory: Path) -> bool:
    socket = directory / f".s.PGSQL.{SOCKET_PORT}"
    return len(os.fsencode(socket)) <= _LONGEST_SOCKET_PATH_BYTES
