#!/usr/bin/env bash
# The wheel in an empty environment, from another folder, without the repository: every command on
# pictures that it draws itself.
#
#     tests/wheel.sh              PYTHON chooses the interpreter (default python3)
#     tests/wheel.sh PYTHON       one of an environment that has the dependencies already
set -euo pipefail
repository="$(cd "$(dirname "$0")/.." && pwd)"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

# From what git has: nothing that only lies about can find its way into the wheel.
git -C "$repository" archive HEAD | tar -x -C "$folder" --one-top-level=source
if [ "$#" -eq 0 ]; then
    "${PYTHON:-python3}" -m venv "$folder/venv"
    python="$folder/venv/bin/python"
    "$python" -m pip install --quiet "$folder/source" # its own isolated build
else
    python="$1"
    "$python" -m pip wheel --quiet --no-deps --wheel-dir "$folder" "$folder/source"
    "$python" -m pip install --quiet --no-deps --target "$folder/site" "$folder"/detection-*.whl
    export PYTHONPATH="$folder/site"
fi
rm -rf "$folder/source"
mkdir "$folder/elsewhere"
cd "$folder/elsewhere"
detection() { echo "== detection $*" && "$python" -m detection "$@"; }

"$python" - << 'PROGRAM'
from pathlib import Path

import torch
import torchvision

import detection
from detection.shapes.dataset import generate

print(detection.__file__)
generate(root=Path("data"), splits={"train": 4, "val": 2}, image_side=128, seed=1)
torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pth")
PROGRAM

"$python" -c 'from detection import Detector, train
print(Detector, train)'
detection weights > weights.txt
grep -q coco_r101_c4 weights.txt
detection env > env.txt
detection check data
# Its BN was never trained, so the file does not show its pixels.
detection import resnet18.pth resnet18.pt pixels=torchvision stride_in_1x1=false
detection train data experiment=demo_from_random schedule.rules.iterations=2 -o trained
detection test trained/best.pt data -o tested
detection detect trained/best.pt data/val -o "found (1)"
test -s "found (1)/detections.json"
mkdir photos
for name in 照片 "it's" "a (1)" "k=v"; do cp "$(find data/val -name '*.jpg' | head -n 1)" "photos/$name.jpg"; done
detection detect trained/best.pt photos/照片.jpg "photos/it's.jpg" "photos/a (1).jpg" "photos/k=v.jpg" -o odd
test "$(find odd/drawn -type f | wc -l)" = 4
detection export-weights trained/best.pt best.safetensors to=safetensors
detection train --help all > help.txt
"$python" -c 'from detection import Detector
print(Detector.load("best.safetensors")("photos/照片.jpg"))'
for command in train test detect check import export-weights weights env benchmark; do detection "$command" --help > /dev/null; done
echo "the wheel works"
