"""Names of splits: which words mean training, validation and test, and which files are in which."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from detection.data.formats.format import ALL

# One split has several names; the first is the one that the configuration uses.
ALIASES = (
    ("train", "training", "trn"),
    ("val", "valid", "validation", "dev", "eval"),
    ("test", "testing", "tst"),
)
TRAIN = ALIASES[0][0]
WORDS = {word for words in ALIASES for word in words} | {"trainval", "minival"}
# Files of a data set in which others lie in folders of splits.
REST = "rest"
# CVAT's folder of a subset in its export for YOLO 1.1.
_CVAT = re.compile(r"obj_(.+)_data")


class FilesOfSplits:
    """The questions of a `Format` that lists its files of annotations by split."""

    def parts(self, root: Path) -> dict[str, list[Path]]:
        """Split -> its files of annotations; {} if ``root`` is in another format."""
        raise NotImplementedError

    def splits(self, root: Path) -> list[str]:
        return list(self.parts(root))

    def has_split(self, root: Path, split: str) -> bool:
        return split in self.parts(root)


def aliases(split: str) -> tuple[str, ...]:
    """The other names of ``split``: valid for val."""
    same = next((words for words in ALIASES if split in words), ())
    others = [word for word in same if word != split]
    return tuple(form for word in [split, *others] for form in (word, word.capitalize()))[1:]


def stand_in(split: str, splits: Sequence[str]) -> str | None:
    """The one of ``splits`` that is meant by ``split``, train, val or test, if one alone can be.

    valid is val; so are val2017 and VAL where no other is.  trainval, or what lies beside a test
    split under no name, is what there is to train on.
    """
    known = next((word for word in (split, *aliases(split)) if word in splits), None)
    if known is not None:
        return known
    alike = [name for name in splits if is_of(name, split)]
    if not alike and split == TRAIN:
        tests = {word for word in splits if is_of(word, ALIASES[2][0])}
        alike = [name for name in ("trainval", REST) if {name, *tests} == {*splits}]
    return alike[0] if len(alike) == 1 else None


def is_of(name: str, split: str) -> bool:
    """Whether ``name`` is another name of ``split``: val2017, Valid and dev of val."""
    return _kind(name) in {word.casefold() for word in (split, *aliases(split))}


def _kind(name: str) -> str:
    """val2017, VAL, CVAT's obj_val_data: val."""
    folded = name.casefold()
    if cvat := _CVAT.fullmatch(folded):
        folded = cvat[1]
    return re.sub(r"[\d_-]+$", "", folded)


def is_split(name: str) -> bool:
    """Whether a folder or file of this name is a split: train, valid, val2017."""
    return _kind(name) in WORDS


def kinds_of(name: str) -> set[str]:
    """Which of train, val and test the words of a split's name mean; none for other names."""
    words = set(re.split(r"[^a-z]+", name.casefold()))
    words |= {"train", "val"} if "trainval" in words else set()
    words |= {"val"} if "minival" in words else set()
    return {same[0] for same in ALIASES if words & set(same)}


def split_of(path: Path) -> str | None:
    """The split that one of the folders of a relative path, or a word of its name, says."""
    folders = [part for part in path.parts[:-1] if is_split(part)]
    return folders[-1] if folders else split_in(path.stem)


def split_folder(path: Path) -> Path | None:
    """The last folder of a relative path that is a split; None if there is none."""
    return next((folder for folder in path.parents if is_split(folder.name)), None)


def split_in(name: str) -> str | None:
    """The split that a file's name says: train of train_labels, of instances_train."""
    if is_split(name):
        return name
    words = re.split(r"[^A-Za-z]+", name.casefold())
    found = [word for word in words if word in WORDS]
    return found[0] if len(set(found)) == 1 else None


def by_folder(root: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    """The files of each split, told by the folders that they lie in; without any: all in one.

    ``root``: of the data set; it may be a file itself.  Without files there are no splits.
    """
    base = _folder(root)
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        parts = file.relative_to(base).parts[:-1]
        found[next((part for part in reversed(parts) if is_split(part)), REST)].append(file)
    only = next(iter(found)) if len(found) == 1 else None
    # The folder itself may be one of the splits of a larger data set; CVAT calls all of it so.
    if only is not None and (only == REST or _CVAT.fullmatch(only.casefold())):
        return {ALL: found[only]}
    return dict(sorted(found.items()))


def by_name(root: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    """As :func:`by_folder`, told by their own names as well; a single file has all."""
    base, files = _folder(root), list(files)
    if len(files) == 1 and split_of(files[0].relative_to(base)) is None:
        return {ALL: files}
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[split_of(file.relative_to(base)) or file.stem].append(file)
    return dict(sorted(found.items()))


def _folder(root: Path) -> Path:
    return root if root.is_dir() else root.parent
