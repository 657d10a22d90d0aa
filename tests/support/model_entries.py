"""Entries of a manifest for tests: small weights, as files and in archives."""

import hashlib
import io
import json
import random
import zipfile
from typing import Any

from triptych_common.model_store.manifest import Entry


def content(size_bytes: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size_bytes)


def pinned(name: str, data: bytes) -> dict[str, Any]:
    """How a manifest pins a file."""
    return {"name": name, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def archive_of(members: dict[str, bytes]) -> bytes:
    """A zip archive, the same for the same members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in members.items():
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def entry(name: str, downloads: list[dict[str, Any]], *, non_commercial: bool = False, **more: Any) -> Entry:
    """An entry of the downloads."""
    licence = {"name": "CC-BY-NC-4.0", "url": "https://example.org/licence", "non_commercial": non_commercial}
    service = "facedetect" if name.startswith("insightface/") else "embedder"
    backend, _, model = name.partition("/")
    fields = {
        "name": name,
        "service": service,
        "model": f"{backend}:{model.replace('__', '/')}",
        "pack": "production",
        "purpose": "tests",
        "source": "https://example.org/about",
        "licence": licence,
        "downloads": downloads,
    }
    return Entry.model_validate(fields | more)


def plain_entry(name: str, data: bytes, *, file: str = "weights.bin", **more: Any) -> Entry:
    """An entry of one file that is downloaded as it is."""
    return entry(name, [{"url": f"https://example.org/r1/{file}", "file": pinned(file, data)}], **more)


def packed_entry(
    name: str, archive: bytes, members: dict[str, bytes], *, prefix: str = "", file: str = "pack.zip", **more: Any
) -> Entry:
    """An entry whose files are members, below ``prefix``, of an archive."""
    described = [{"path": f"{prefix}{member}", "file": pinned(member, data)} for member, data in members.items()]
    download = {"url": f"https://example.org/r1/{file}", "file": pinned(file, archive), "members": described}
    return entry(name, [download], **more)


def manifest_text(entries: list[Entry], *, production: dict[str, str]) -> str:
    """A manifest as it is written: TOML, of which JSON's strings, numbers and booleans are a part."""
    lines = ["[production]", *(f"{service} = {json.dumps(name)}" for service, name in production.items())]
    for one in entries:
        lines += ["[[entries]]", *_assignments(one.model_dump(exclude={"licence", "downloads"}))]
        lines += ["[entries.licence]", *_assignments(one.licence.model_dump())]
        for download in one.downloads:
            lines += ["[[entries.downloads]]", f"url = {json.dumps(download.url)}"]
            lines += [f"file.{line}" for line in _assignments(download.file.model_dump())]
            for member in download.members:
                lines += ["[[entries.downloads.members]]", f"path = {json.dumps(member.path)}"]
                lines += [f"file.{line}" for line in _assignments(member.file.model_dump())]
    return "\n".join(lines) + "\n"


def _assignments(fields: dict[str, Any]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
