#!/usr/bin/env bash
# Regenerates protos/src from protos/triptych. Run through `make generate`, with the environment's bin/ on PATH.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf src/triptych
mkdir -p src
python -m grpc_tools.protoc -I . \
  --python_out=src --grpc_python_out=src --mypy_out=quiet:src --mypy_grpc_out=quiet:src \
  triptych/v1/*.proto
# A file without a service needs no stubs.
grep -L Stub src/triptych/v1/*_pb2_grpc.py | while read -r empty; do rm "$empty" "${empty}i"; done
touch src/triptych/py.typed
