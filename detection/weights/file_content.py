"""What a file of weights holds, whoever wrote it: read once, and nothing in it is run."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from detection import safetensors_file
from detection.damage import BROKEN_ARCHIVE, check_archive, check_safetensors, is_archive
from detection.declared_sizes import (
    check_archive_sizes,
    check_storage_sizes,
    check_tensor_sizes,
)
from detection.weights.other_files import (
    check_is_no_folder,
    check_kind_of_archive,
    check_kind_of_file,
    is_safetensors,
)
from detection.weights.safe_pickle import (
    ALLOWED,
    Refused,
    SafeUnpickler,
    Skipped,
    load_pickle,
    refusal,
)

# The first number in the files that torch.save wrote before it wrote zip archives.
_OLD_TORCH = 0x1950A86A20F9469CFC6C


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """``tree``: what was saved; objects of other packages are :class:`Skipped`.

    ``described``: the metadata of a safetensors file.
    """

    path: Path
    tree: Any
    described: dict[str, str] = field(default_factory=dict)


def read_content(path: Path, *, glance: bool = False) -> FileContent:
    """Reads a .safetensors file, a file of torch.save in any of its formats, or a plain pickle.

    Which of them it is is seen in its contents.  ``glance``: for a look at a few numbers: the
    others are not read where the file lies in memory as it is, and no checksum is made.
    Raises FileNotFoundError, or ValueError for a file that cannot be read, or that asks for what
    may run code.
    """
    check_is_no_folder(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file of weights; weights= takes a .safetensors, .pth or .pt file"
        )
    check_kind_of_file(path)
    if safetensors_file.is_checkpoint_file(path):
        return FileContent(path=path, tree=safetensors_file.read(path, check=not glance))
    if path.suffix == ".safetensors" or is_safetensors(path):
        tensors, described = _read_safetensors(path, check=not glance)
        return FileContent(path=path, tree=tensors, described=described)
    if not is_archive(path) and _is_plain_pickle(path):
        return FileContent(path=path, tree=load_pickle(path))
    return FileContent(path=path, tree=_read_torch(path, glance=glance))


def _read_safetensors(path: Path, *, check: bool) -> tuple[dict[str, Any], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            described = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable file of weights: {error}") from None
    if check:
        check_safetensors(path, described)
    return tensors, described


def _is_plain_pickle(path: Path) -> bool:
    """Whether a file is neither of torch.save's, nor of another kind that its suffix says."""
    with path.open("rb") as file:
        start = file.read(64)
    if path.suffix == ".pkl":
        return not _is_old_torch(start)
    return start[:1] == b"\x80" and not _is_old_torch(start)


def _is_old_torch(start: bytes) -> bool:
    try:
        return bool(SafeUnpickler(io.BytesIO(start)).load() == _OLD_TORCH)
    except Exception:  # Any bytes may come out as any opcodes.
        return False


def _rebuilds(name: str) -> Callable[..., Any]:
    """torch's function of this name; tensors of kinds that are not read are skipped."""
    function = getattr(torch._utils, name)

    def rebuild(*arguments: Any) -> Any:
        if any(isinstance(argument, Skipped) for argument in arguments):
            return Skipped()
        return function(*arguments)

    return rebuild


def _rebuild_subclass(function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    """A tensor of a subclass is read as a plain one."""
    return function(*arguments)


_TORCH: dict[str, Any] = {
    **ALLOWED,
    **{
        f"torch._utils.{name}": _rebuilds(name)
        for name in (
            "_rebuild_tensor",
            "_rebuild_tensor_v2",
            "_rebuild_parameter",
            "_rebuild_parameter_with_state",
        )
    },
    "torch._tensor._rebuild_from_type_v2": _rebuild_subclass,
    "torch.Size": torch.Size,
    "torch.storage.UntypedStorage": torch.UntypedStorage,
    **{f"torch.{n}": v for n, v in vars(torch).items() if isinstance(v, torch.dtype)},
}


class _TorchUnpickler(SafeUnpickler):
    """``torch.load`` asks it for everything that is no storage of numbers."""

    allowed = _TORCH


def _load_one(file: Any, **arguments: Any) -> Any:
    """The first pickles of torch's old format: a number, a version, facts on the machine."""
    return _TorchUnpickler(file, **arguments).load()


_PICKLE = SimpleNamespace(
    __name__="detection.weights.file_content", Unpickler=_TorchUnpickler, load=_load_one
)


def _read_torch(path: Path, *, glance: bool) -> Any:
    mapped = False
    if is_archive(path):
        check_archive_sizes(path)
        if not glance:
            check_archive(path)
        try:
            with zipfile.ZipFile(path) as archive:
                files = archive.infolist()
        except BROKEN_ARCHIVE as error:
            raise ValueError(f"{path}: damaged ({error})") from None
        names = [file.filename for file in files]
        mapped = glance and all(file.compress_type == zipfile.ZIP_STORED for file in files)
        if any(name.endswith("constants.pkl") for name in names):
            raise ValueError(
                f"{path}: a TorchScript program, which is code: save the state_dict() of its module"
            )
        check_kind_of_archive(path, names)
    else:
        check_storage_sizes(path)
    try:
        # weights_only=False with an unpickler of our own: torch reads the numbers, and imports
        # nothing but through it.
        content = torch.load(
            path,
            map_location="cpu",
            weights_only=False,
            pickle_module=_PICKLE,
            encoding="latin1",  # Python 2's text
            mmap=mapped,
        )
    except Refused as error:
        raise refusal(path, error) from None
    except OSError:
        raise
    except Exception as error:  # Foreign bytes are opcodes to the unpickler: anything may come out.
        reason = f"not written by torch.save, or damaged ({type(error).__name__}: {error})"
        raise ValueError(f"{path}: not a readable file of weights: {reason}") from None
    check_tensor_sizes(path, content)
    return content


def mapping_of(value: Any) -> Mapping[Any, Any] | None:
    """``value`` as a mapping, if it is one, of a class that is not read, or a list of mappings."""
    if isinstance(value, Skipped):
        return value.items or None
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        return dict(enumerate(value))
    return value if isinstance(value, Mapping) else None
