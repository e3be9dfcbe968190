#!/usr/bin/env bash
# Everything that needs a GPU, on the first machine that has one: builds the CUDA kernels for it,
# runs the tests marked cuda, compute-sanitizer on the self-test, and the benchmark.
#
#     tests/ops/gpu.sh            PYTHON chooses the interpreter (default .venv/bin/python)
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${PYTHON:-.venv/bin/python}"

FORCE_CUDA=1 "$python" setup.py -q build_ext --inplace --force
"$python" -W error::UserWarning -m detection.ops # without the kernels there would be a warning
"$python" -m pytest -m cuda tests

sanitizer="$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer")"
for tool in memcheck racecheck initcheck synccheck; do
    echo "== compute-sanitizer $tool"
    # Our kernels alone; but initcheck must see who else writes what they read.
    kernels=(--kernel-regex kns=detection)
    if [ "$tool" = initcheck ]; then kernels=(); fi
    # Without torch's caching allocator every access past the end of a tensor is seen.
    PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool "$tool" --error-exitcode 1 \
        "${kernels[@]}" "$python" -W error::UserWarning -m detection.ops
done

"$python" tools/benchmark.py suite=ops device=cuda "ops.dtypes=[float32,float16,bfloat16]"
