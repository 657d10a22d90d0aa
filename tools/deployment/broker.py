"""NATS' configuration, as NATS itself reads it."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tools.deployment.manifests import Manifest, called, named, pod_of
from triptych_common.progress.permissions import authorization, password_variable

_IN_A_STRING: Final = re.compile(r'"[^"\n]*\$(\w+)[^"\n]*"')


def broker_problems(manifests: list[Manifest]) -> Iterator[str]:
    """What NATS says of its configuration, given the variables that its container has."""
    configuration = named(manifests, "ConfigMap")["nats"]
    text = configuration["data"]["nats.conf"]
    container = pod_of(named(manifests, "StatefulSet")["nats"])["containers"][0]
    variables = {one["name"]: f"some-{number}" for number, one in enumerate(container["env"])}
    for string in _IN_A_STRING.finditer(text):
        # A subject may begin with a dollar sign.
        if string[1] in variables:
            yield f"{called(configuration)}: NATS fills in no variable inside of a string: {string[0]}"
    if authorization(lambda user: f"${password_variable(user)}") not in text:
        yield f"{called(configuration)}: lets in others than `python -m triptych_common.progress.permissions` writes"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nats.conf"
        file.write_text(text)
        tested = subprocess.run(
            [str(Path(sys.executable).with_name("nats-server")), "-t", "--config", str(file)],
            env={"PATH": os.environ["PATH"], **variables},
            capture_output=True,
            text=True,
            check=False,
        )
    if tested.returncode:
        yield f"{called(configuration)}: {tested.stderr.strip()}"
