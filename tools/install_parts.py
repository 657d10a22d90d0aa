"""Installs parts of Triptych, and all that they need as constraints.txt locks it: every file is held against its hash.

python tools/install_parts.py [--into ENVIRONMENT] [--editable] PART...

A PART is a directory, with extras: "./gateway[embedded]".

pip holds all files of an installation against hashes or none, and knows none of directories. So the parts become wheels
first, and those are named with the hashes that they have. Of the standard library alone: images run it before anything
else is there. Needs pip 26.3, hatchling and editables in the environment that runs it.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_PART: Final = re.compile(r"(?P<directory>[^\[\]]+)(?P<extras>\[[^\[\]]+\])?")
LOCK: Final = "constraints.txt"
"""Relative to the directory that the parts are relative to."""


def parts_of(requirements: str) -> list[str]:
    """The parts that a requirements file names, one a line (`-e ./gateway[embedded]`); it may name nothing else.

    Raises:
        ValueError: another line, which pip would not be given.
    """
    lines = [line for line in requirements.splitlines() if line and not line.startswith("#")]
    others = [line for line in lines if not line.startswith("-e ")]
    if others:
        raise ValueError(f"not a part of Triptych: {others[0]}")
    return [line.removeprefix("-e ") for line in lines]


def requirement_of(part: str, wheels: Path) -> str:
    """What pip is told of a part: its name, its extras, and its wheel with the hash that this has.

    Raises:
        ValueError: the part is no directory with extras, or has no wheel in `wheels`.
    """
    named = _PART.fullmatch(part)
    pyproject = Path(named["directory"], "pyproject.toml") if named else None
    name = re.search(r'^name = "(.+)"$', pyproject.read_text(), re.MULTILINE) if pyproject else None
    if not named or not name:
        raise ValueError(f"{part!r} is no part: name its directory, and its extras as in ./gateway[embedded]")
    found = list(wheels.glob(f"{name[1].replace('-', '_')}-*.whl"))
    if len(found) != 1:
        raise ValueError(f"{len(found)} wheels of {name[1]} in {wheels}")
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    return f"{name[1]}{named['extras'] or ''} @ {found[0].as_uri()}#sha256={digest}"


def install(parts: list[str], *, into: str | None = None, editable: bool = False) -> None:
    """Install the parts and what they need; editable ones refer to their directories.

    Raises:
        subprocess.CalledProcessError: pip failed, and has said why.
        ValueError: as `requirement_of`.
    """
    directories = [part.partition("[")[0] for part in parts]
    pip = [sys.executable, "-m", "pip", *(["--python", into] if into else [])]
    with tempfile.TemporaryDirectory() as temporary:
        built = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*built, "--wheel-dir", temporary, *directories], check=True)
        locked = [*pip, "install", "--quiet", "--require-hashes", "--constraint", LOCK]
        wheels = [requirement_of(part, Path(temporary)) for part in parts]
        subprocess.run([*locked, *(["--only-deps"] if editable else []), *wheels], check=True)
    if editable:
        linked = [argument for directory in directories for argument in ("--editable", directory)]
        subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", *linked], check=True)


def main() -> None:
    """Install what the arguments name, or the parts in a requirements file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", metavar="ENVIRONMENT", help="another environment than this Python's")
    parser.add_argument("--editable", action="store_true", help="let what is installed refer to the directories")
    parser.add_argument(
        "--requirement", type=Path, metavar="FILE", help="a file that names parts, one `-e PART` a line"
    )
    parser.add_argument("parts", nargs="*", metavar="PART")
    arguments = parser.parse_args()
    named = parts_of(arguments.requirement.read_text()) if arguments.requirement else []
    install([*named, *arguments.parts], into=arguments.into, editable=arguments.editable)


if __name__ == "__main__":
    main()
