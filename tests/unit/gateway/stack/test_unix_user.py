"""What a user can reach, by the mode bits."""

import os
from pathlib import Path

import pytest

from triptych_gateway.cli.stack.unix_user import UnixUser, first_closed_directory, permitted


def stranger_to(path: Path) -> UnixUser:
    status = path.stat()
    return UnixUser(name="stranger", user_id=status.st_uid + 4_000, group_id=status.st_gid + 4_000)


@pytest.mark.parametrize(
    ("mode", "same_user", "same_group", "expected"),
    [
        (0o500, True, True, True),
        (0o077, True, True, False),
        (0o050, False, True, True),
        (0o707, False, True, False),
        (0o005, False, False, True),
        (0o770, False, False, False),
    ],
)
def test_exactly_one_class_of_bits_counts(
    tmp_path: Path, mode: int, same_user: bool, same_group: bool, expected: bool
) -> None:
    path = tmp_path / "file"
    path.touch(mode=0o600)
    path.chmod(mode)
    status = path.stat()
    user = UnixUser(
        name="someone",
        user_id=(status.st_uid or 4_000) if same_user else status.st_uid + 4_000,
        group_id=status.st_gid if same_group else status.st_gid + 4_000,
    )
    if same_user and status.st_uid == 0:
        # Root is above the bits: give the file to the user instead.
        os.chown(path, user.user_id, status.st_gid)
    assert permitted(path.stat(), user, wanted=0o5) is expected


def test_the_outermost_closed_directory_is_named(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    for directory in (tmp_path, outer, inner):
        directory.chmod(0o755)
    user = stranger_to(tmp_path)
    before = first_closed_directory(outer, user)
    outer.chmod(0o750)
    assert first_closed_directory(inner, user) == (before or outer.resolve())


def test_what_does_not_exist_yet_is_not_closed() -> None:
    user = UnixUser(name="stranger", user_id=4_000, group_id=4_000)
    assert first_closed_directory(Path("/usr/no-such-directory/inner"), user) is None
