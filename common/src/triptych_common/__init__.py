"""What every Triptych process stands on: settings, logging, gRPC, errors, progress publishing, media."""

import os

# ONNX Runtime's wheels tell their maker of each process that loads them, unless this is there before they are loaded:
# so it is set here, before any module of ours can import them. Its own call to turn that off comes too late.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
