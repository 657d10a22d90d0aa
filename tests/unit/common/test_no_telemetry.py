"""Libraries that would tell their makers of us are told not to, before they are loaded."""

import subprocess
import sys

from tests.support.running_triptych import clean_environment

_QUESTION = """
import os, sys
import triptych_common
assert "onnxruntime" not in sys.modules
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""


def test_onnx_runtime_is_told_not_to_tell_before_anything_can_load_it() -> None:
    environment = clean_environment()
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    asked = subprocess.run(
        [sys.executable, "-c", _QUESTION], env=environment, capture_output=True, text=True, check=True
    )
    assert asked.stdout == "1\n"
