#!/usr/bin/env bash
# Shows that one built binary runs under several versions of torch.
#
#     tests/ops/abi.sh                      venvs with torch 2.11 and the newest, in a temporary folder
#     tests/ops/abi.sh PYTHON PYTHON ...    these interpreters, each with another torch
#
# The binaries are those that lie in detection/ops (python setup.py build_ext --inplace).
set -euo pipefail
cd "$(dirname "$0")/../.."
ls detection/ops/_cpu.*

if [ "$#" -eq 0 ]; then
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' EXIT
    for torch in "torch==2.11.*" "torch"; do
        venv="$folder/$torch"
        "${PYTHON:-python3}" -m venv "$venv"
        "$venv/bin/pip" install --quiet "$torch" torchvision numpy
        set -- "$@" "$venv/bin/python"
    done
fi

for python in "$@"; do
    echo "== $python"
    # Never torchvision in place of a binary that does not load.
    "$python" -W error::UserWarning -m detection.ops
done
