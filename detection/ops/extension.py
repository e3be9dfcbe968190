"""The compiled kernels: whether they are there, could be loaded, and what they were built for.

Importing this module loads ``_cpu`` and ``_cuda`` if the installation built them, and never
compiles anything.  The binaries use LibTorch's stable ABI and no Python API: the same file works
with every Python and every torch from 2.11 on.
"""

from __future__ import annotations

import ctypes
import functools
import json
import warnings
from pathlib import Path

import torch

FOLDER = Path(__file__).resolve().parent
_NEWEST = "first_survivors"  # a binary without it is older than this code

CANNOT_BE_LOADED = "cannot be loaded"
REMEDY = (
    "To have the fast ones, install a C++20 compiler (g++ 11 or newer, or clang; for a GPU also "
    "CUDA's nvcc) and reinstall from the source tree: pip install --no-build-isolation --no-deps "
    "--force-reinstall . (in an editable installation: python setup.py build_ext --inplace). "
    "`python -m detection.ops` tells what is built."
)


def _load(name: str) -> dict[str, str] | str:
    """The facts that the binary holds about its build, or why there is none."""
    path = next(iter(sorted(FOLDER.glob(f"{name}.*"))), None)
    if path is None:
        return "not built"
    try:
        torch.ops.load_library(path)
        build = ctypes.CDLL(str(path)).detection_ops_build
    except (OSError, AttributeError) as error:
        return f"{path.name} {CANNOT_BE_LOADED}: {error}"
    if not _has_newest(name):
        return f"{path.name} {CANNOT_BE_LOADED}: it was built from older sources"
    build.restype = ctypes.c_char_p
    facts = json.loads(build().decode())
    assert isinstance(facts, dict)
    return facts


def _has_newest(name: str) -> bool:
    """Whether the binary that was loaded has a kernel of the operator that came last."""
    if not hasattr(torch.ops.detection, _NEWEST):
        return False
    key = {"_cpu": "CPU", "_cuda": "CUDA"}[name]
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(f"detection::{_NEWEST}", key))


#: Facts about the kernels for the CPU (which hold the operators' schemas), or why there are none.
cpu: dict[str, str] | str = _load("_cpu")
#: The same for CUDA.
cuda: dict[str, str] | str = (
    "not loaded, since the CPU part is missing"
    if isinstance(cpu, str)
    else "not loaded, since this torch has no CUDA"
    if torch.version.cuda is None
    else _load("_cuda")
)

if isinstance(cpu, str):
    warnings.warn(
        f"detection.ops: the compiled RoI kernels are missing ({cpu}); torchvision's slower "
        f"operators are used instead. {REMEDY}",
        stacklevel=2,
    )


def serves(device: torch.device) -> bool:
    """Whether compiled kernels pool tensors of ``device``; otherwise torchvision does."""
    if device.type == "cuda":
        if isinstance(cuda, str) and not torch.compiler.is_compiling():
            _warn_without_cuda()
        return not isinstance(cuda, str)
    return device.type in ("cpu", "meta") and not isinstance(cpu, str)


@functools.cache
def _warn_without_cuda() -> None:
    if not isinstance(cpu, str):  # else the import has warned already
        warnings.warn(
            f"detection.ops: no RoI kernels for CUDA ({cuda}); torchvision's slower operators "
            f"are used instead. {REMEDY}",
            stacklevel=4,
        )
