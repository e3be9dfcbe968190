"""A short run of the fuzzer, what it has found, and that it can find something."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from detection.checkpoint import ClassifierCheckpoint
from detection.data.formats.open import open_every_split
from detection.data.split_file import PictureSplit
from detection.evaluation.coco_results import read_coco_results
from tests.fuzz.run import run
from tests.fuzz.seeds import COCO, make_seeds

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.slow
def test_mutated_inputs_are_read_or_refused_in_a_line() -> None:
    assert run(cases=150, seed=1) == []


def test_deep_nesting_is_refused_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(DEEP)
    with pytest.raises(ValueError, match=r"a\.json.*"):
        read_coco_results(path, COCO)
    with pytest.raises(ValueError, match=r"a\.json"):
        PictureSplit.load(path)


def test_a_yaml_of_deep_nesting_is_refused_in_a_line(tmp_path: Path) -> None:
    for name, data in make_seeds()["data YOLO"].items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "data.yaml").write_text("names: " + "[" * 1000 + "]" * 1000 + "\ntrain: images\n")
    with pytest.raises(ValueError, match=r"data\.yaml: not valid YAML"):
        open_every_split(root=tmp_path, invalid_boxes="clip")


def test_an_archive_with_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    data = make_seeds()["checkpoint .pt"]["a.pt"]
    at = data.rindex(b"PK\x01\x02")  # the last entry of the directory: its name is at 46
    flags = (int.from_bytes(data[at + 8 : at + 10], "little") | 0x800).to_bytes(2, "little")
    changed = data[: at + 8] + flags + data[at + 10 : at + 46] + b"\xb3" + data[at + 47 :]
    (tmp_path / "a.pt").write_bytes(changed)
    with pytest.raises(ValueError, match=r"a\.pt: damaged"):
        ClassifierCheckpoint.load(tmp_path / "a.pt")


FOLDERS = "</object>" * 100_000  # each of them was asked for on the disk, which took 10 minutes


@pytest.mark.parametrize(
    ("kind", "file"), [("VOC", "ImageSets/Main/train.txt"), ("DET", "ImageSets/DET/val.txt")]
)
def test_a_name_of_a_megabyte_is_refused_in_a_line(kind: str, file: str, tmp_path: Path) -> None:
    files = make_seeds()[f"data {kind}"] | {file: FOLDERS.encode()}
    with pytest.raises(ValueError, match=r"\.txt: '</object>.*'\.\.\. is a file name of 900,000"):
        read_data(files, tmp_path)


@pytest.mark.parametrize("kind", ["COCO", "VIA", "LabelMe", "CVAT", "VOC-loose", "YOLO", "CSV"])
def test_a_long_name_in_annotations_is_refused_in_a_line(kind: str, tmp_path: Path) -> None:
    name = ("a/" * 100_000).encode()
    files = {
        path: data if path.endswith(".png") else data.replace(b"a.png", name + b"a.png")
        for path, data in make_seeds()[f"data {kind}"].items()
    }
    started = time.monotonic()
    with pytest.raises((ValueError, OSError)) as refused:
        read_data(files, tmp_path)
    assert time.monotonic() - started < 5
    assert str(refused.value).count("\n") < 4


def test_a_csv_with_a_field_of_a_megabyte_is_refused_in_a_line(tmp_path: Path) -> None:
    files = make_seeds()["data CSV"]
    table = files["a.csv"] + b'"' + b"a,16,12" * 100_000
    with pytest.raises(ValueError, match=r"a\.csv: not a readable CSV \(field larger"):
        read_data(files | {"a.csv": table}, tmp_path)


def read_data(files: dict[str, bytes], folder: Path) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    open_every_split(root=folder, invalid_boxes="clip")


_READS = {
    "runs": ("os.system('true')", "os.system"),
    "opens": ("open('/etc/passwd').close()", "opened /etc/passwd"),
    "raises": ("{}['x']", "KeyError"),
    "says much": ("exec('raise ValueError(chr(10) * 50)')", "ValueError of"),
}


@pytest.mark.parametrize("kind", _READS)
def test_the_watch_sees_what_must_not_be(kind: str) -> None:
    """In a process of its own: an audit hook cannot be taken away."""
    action, seen = _READS[kind]
    code = (
        "import os\nfrom tests.fuzz.watch import Watch\n"
        f"def read(folder):\n    {action}\nprint(Watch().case(read, {{'a': b''}}))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert done.stdout.startswith(seen), done.stdout + done.stderr
