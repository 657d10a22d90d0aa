#!/usr/bin/env bash
# Checks the protos: style, compatibility with the checked-in image, and that the generated code is what they give.
# Run through `make protos-check`, with the environment's bin/ on PATH.
set -euo pipefail
cd "$(dirname "$0")"
buf lint
buf breaking --against image.binpb
before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -r src "$before/src"
./generate.sh
if ! diff -r -q -x __pycache__ "$before/src" src; then
  echo "The generated code is not what the protos give: run 'make generate' and commit the result." >&2
  exit 1
fi
