"""The bundle: one file, readable to its owner, into which nothing goes that was not redacted."""

import io
import json
import os
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Final

from triptych_gateway.cli.diagnose.collecting import Collected
from triptych_gateway.cli.diagnose.redaction import Redactor

ABOUT: Final = """What `triptych diagnose` found on an installation of Triptych, for whoever is to help.

In it: versions, settings, what `triptych doctor` says, which processes answer, states of sessions and counts of
failures, sizes of tables and streams, metrics, and the ends of the log files. missing.json tells what could not be had,
and why.

Not in it: photos, faces and their vectors, names of people, sessions and tokens, and secrets. Paths and names of photos
are words that stand for them, the same ones all through this bundle, {names}.

Read it before you pass it on.
"""


def write_bundle(path: Path, collected: Collected, redactor: Redactor, *, moment: datetime, with_names: bool) -> None:
    """Write what was collected, redacted, to a file that does not exist yet.

    Raises:
        FileExistsError: it does.
        OSError: it cannot be written.
    """
    names = "unless they were asked for: here they were" if with_names else "and cannot be turned back"
    texts = {"README.txt": ABOUT.format(names=names)}
    for name, value in {**collected.values, "missing.json": collected.missing}.items():
        texts[name] = json.dumps(redactor.value(value), indent=2, default=str) + "\n"
    texts |= {name: redactor.text(text) for name, text in collected.texts.items()}
    # Whole before it is there: a bundle that was half written would look like one.
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression=zipfile.ZIP_DEFLATED) as archive:
        for name, text in texts.items():
            member = zipfile.ZipInfo(f"{path.stem}/{name}", date_time=moment.timetuple()[:6])
            member.external_attr = 0o600 << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, text.encode("utf-8", "backslashreplace"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(memory.getvalue())
