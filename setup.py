"""Builds the RoI kernels, detection/ops/csrc, and packs configs/; the rest is in pyproject.toml.

    detection/ops/_cpu.abi3.so    needs a C++20 compiler: $CXX, or c++, g++, clang++
    detection/ops/_cuda.abi3.so   needs also nvcc ($CUDA_HOME/bin, or on the path) and a CUDA torch;
                                  a GPU need not be there

What cannot be built is left out with a warning, and torchvision's operators take its place.
FORCE_CUDA=1 makes a missing CUDA part an error, FORCE_CUDA=0 leaves it out.  TORCH_CUDA_ARCH_LIST
("8.0;9.0+PTX") chooses the architectures; without it those of the GPUs at hand, or, where there
is none, one per generation from Turing on and PTX for what comes later.  MAX_JOBS: how many of
them are compiled at a time.

LibTorch's stable ABI (2.11) and no Python API: the binaries serve every torch from 2.11 on and
every Python.  The CUDA runtime is linked statically, so CUDA's version need not be torch's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
SOURCES = ROOT / "detection" / "ops" / "csrc"

TORCH_TARGET = (2, 11)  # the oldest torch; also in pyproject.toml
GENERATIONS = ("7.5", "8.0", "8.6", "9.0", "10.0", "12.0")  # what runs on the minor versions too
FLAGS = ["-std=c++20", "-O3", "-DNDEBUG"]
# Results equal torchvision's to the last bit: no product may be fused into the sum it is part of.
HOST_FLAGS = ["-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]


class BuildError(Exception):
    """Why a part cannot be built, in words for the user."""


class BuildKernels(build_ext):
    """Compiles each extension by one command; a failure is a warning unless it was ruled out."""

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        inputs = [ROOT / "setup.py", *SOURCES.iterdir()]
        if not self.force and target.exists() and is_newer(target, inputs):
            return
        cuda = ext.name.endswith("_cuda")
        if cuda and os.environ.get("FORCE_CUDA") == "0":
            target.unlink(missing_ok=True)
            return
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            build = Path(self.build_temp) / ext.name
            build.mkdir(parents=True, exist_ok=True)
            compile_cuda(target, build) if cuda else compile_cpu(target, build)
        except BuildError as error:
            target.unlink(missing_ok=True)  # never an older one beside newer Python code
            if cuda and os.environ.get("FORCE_CUDA") == "1":
                raise SystemExit(
                    f"FORCE_CUDA=1, but the CUDA kernels cannot be built: {error}"
                ) from None
            print(
                f"warning: detection.ops is installed without {ext.name.rpartition('.')[2]}: "
                f"{error}. torchvision's operators take its place.",
                file=sys.stderr,
            )


class PackConfigs(build_py):
    """Copies configs/ into the wheel, as detection/configs.

    An editable install reads them where they stand: there is no copy that could grow old.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        shutil.rmtree(Path(self.build_lib) / "detection" / "configs", ignore_errors=True)
        for target, source in self._configs().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return [*super().get_outputs(include_bytecode), *self._configs()]

    def get_output_mapping(self) -> dict[str, str]:
        return super().get_output_mapping() | self._configs()

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *self._configs().values()]

    def _configs(self) -> dict[str, str]:
        """Target -> source, relative to the repository."""
        sources = sorted(path.relative_to(ROOT) for path in ROOT.glob("configs/**/*.yaml"))
        return {str(Path(self.build_lib) / "detection" / path): str(path) for path in sources}


def compile_cpu(target: Path, build: Path) -> None:
    compiler = find_compiler()
    facts = {"compiler": first_line(compiler)}
    run(
        [compiler, *FLAGS, *HOST_FLAGS, "-Wno-psabi", "-shared"],
        "roi_pool.cpp",
        facts,
        target,
        build,
    )


def compile_cuda(target: Path, build: Path) -> None:
    compiler, nvcc = find_compiler(), find_nvcc()
    torch = import_torch()
    if torch.version.cuda is None:
        raise BuildError(f"torch {torch.__version__} is one without CUDA")
    architectures = chosen_architectures(nvcc)
    command = [nvcc, *FLAGS, "-shared", "-cudart", "static", "-fmad=false", "-DUSE_CUDA"]
    command += ["-Xfatbin", "-compress-all"]
    # The architectures are compiled side by side: on as many cores as there are, or MAX_JOBS.
    command += ["--threads", os.environ.get("MAX_JOBS", "0")]
    command += ["-Xcompiler", ",".join(HOST_FLAGS), "-ccbin", compiler]
    for architecture in architectures:
        number = re.sub(r"[.]|\+PTX", "", architecture)
        command.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if architecture.endswith("+PTX"):
            command.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    facts = {
        "compiler": output_of([nvcc, "--version"]).splitlines()[-2],
        "architectures": " ".join(architectures),
    }
    # The stream is asked of libtorch_cuda, which a linker may leave out where it sees no need.
    command += ["-Xlinker", "--no-as-needed"]
    run(command, "roi_pool.cu", facts, target, build, ("-ltorch_cuda",))


def run(
    command: list[str],
    source: str,
    facts: dict[str, str],
    target: Path,
    build: Path,
    libraries: tuple[str, ...] = (),
) -> None:
    """Compiles and links one file; ``facts`` are what the binary will say about itself."""
    torch = import_torch()
    facts["torch"] = torch.__version__
    facts["oldest torch"] = ".".join(map(str, TORCH_TARGET))
    quoted = json.dumps(json.dumps(facts))
    (build / "roi_build.h").write_text(f"#define ROI_BUILD {quoted}\n")
    folder = Path(torch.__file__).parent
    version = (TORCH_TARGET[0] << 56) | (TORCH_TARGET[1] << 48)
    command = [
        *command,
        f"-DTORCH_TARGET_VERSION={version:#x}ULL",
        f"-I{build}",
        "-isystem",
        str(folder / "include"),
        str(SOURCES / source),
        "-o",
        str(target),
        f"-L{folder / 'lib'}",
        "-ltorch",
        "-ltorch_cpu",
        "-lc10",
        *libraries,
    ]
    print(" ".join(command))
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{Path(command[0]).name} failed on {source}: {error}") from None


def import_torch():
    # Last on the path: a build of its own sees the torch of the environment it is for.
    if (installed := sysconfig.get_path("purelib")) not in sys.path:
        sys.path.append(installed)
    try:
        import torch
    except ImportError as error:
        raise BuildError(f"torch cannot be imported while building ({error})") from None
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < TORCH_TARGET:
        raise BuildError(f"torch {torch.__version__} is older than 2.11")
    return torch


def find_compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["c++", "g++", "clang++"]:
        if path := shutil.which(name):
            return path
    raise BuildError(f"no C++ compiler ({f'CXX={wanted}' if wanted else 'c++, g++, clang++'})")


def find_nvcc() -> str:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    folder = str(Path(home) / "bin") if home else None
    if path := shutil.which("nvcc", path=folder) or shutil.which("nvcc"):
        return path
    if path := shutil.which("nvcc", path="/usr/local/cuda/bin"):
        return path
    raise BuildError("no nvcc, neither in CUDA_HOME nor on the path")


def chosen_architectures(nvcc: str) -> list[str]:
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    if wanted and wanted != ["native"]:
        for name in wanted:
            if not re.fullmatch(r"\d+\.\d+[af]?(\+PTX)?", name):
                raise BuildError(
                    f"TORCH_CUDA_ARCH_LIST holds {name!r}; write numbers as in '8.0;9.0+PTX'"
                )
        return wanted
    torch = import_torch()
    if torch.cuda.is_available():
        present = {torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())}
        names = [f"{major}.{minor}" for major, minor in sorted(present)]
    else:
        names = list(GENERATIONS)
    known = output_of([nvcc, "--list-gpu-arch"]).split()
    names = [name for name in names if f"compute_{name.replace('.', '')}" in known]
    if not names:
        raise BuildError(f"{nvcc} knows none of the architectures wanted; set TORCH_CUDA_ARCH_LIST")
    return [*names[:-1], names[-1] + "+PTX"]


def output_of(command: list[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise BuildError(f"{command[0]} does not run: {error}") from None


def first_line(compiler: str) -> str:
    return output_of([compiler, "--version"]).splitlines()[0]


def is_newer(target: Path, inputs: list[Path]) -> bool:
    return all(path.stat().st_mtime <= target.stat().st_mtime for path in inputs)


setup(
    ext_modules=[
        Extension(
            f"detection.ops.{name}",
            [str((SOURCES / source).relative_to(ROOT))],
            py_limited_api=True,
            optional=True,
        )
        for name, source in (("_cpu", "roi_pool.cpp"), ("_cuda", "roi_pool.cu"))
    ],
    cmdclass={"build_ext": BuildKernels, "build_py": PackConfigs},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
