#!/usr/bin/env bash
# Gathers what a machine with PyTorch still lacks to run `python -m bench.device`, and says how.
#
# For CPython 3.12 on x86-64 with torch, torchvision, numpy, numba, pyarrow, Pillow, transformers and
# timm. The wheels are those of the lock, with their hashes; their own needs are named here.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  annotated-types cachetools ftfy open-clip-torch pycocotools pydantic pydantic-core
  pydantic-settings python-dotenv qdrant-edge-py segment-anything typing-inspection wcwidth
)
wheels=build/device/wheels
rm -rf "$wheels" && mkdir -p "$wheels"

# A requirement of the lock is its line and the indented hashes that follow.
lock=$(mktemp)
trap 'rm -f "$lock"' EXIT
for package in "${packages[@]}"; do
  awk -v name="$package" '
    /^[^ ]/ { wanted = index($0, name "==") == 1 }
    wanted' requirements.txt >>"$lock"
done
found=$(grep -c '==' "$lock")
[ "$found" = "${#packages[@]}" ] || { echo "the lock names $found of ${#packages[@]}" >&2; exit 1; }

platforms=()
for glibc in 2_17 2_24 2_27 2_28 2_31 2_34 2_35; do
  platforms+=(--platform "manylinux_${glibc}_x86_64")
done
${PYTHON:-python3} -m pip download -q --no-deps --require-hashes --only-binary=:all: \
  --python-version 3.12 --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 \
  -d "$wheels" -r "$lock"

megabytes=$(du -sm "$wheels" | cut -f1)
echo "$(ls "$wheels" | wc -l) wheels, $megabytes MB, in $wheels. Beside a copy of this folder there:"
echo
echo "  python3 -m pip install -q --no-index --no-deps --target build/device/site $wheels/*.whl &&"
echo "    PYTHONPATH=build/device/site python3 -m bench.device"
[ "$megabytes" -lt 40 ] || { echo "expected less than 40 MB of wheels" >&2; exit 1; }
