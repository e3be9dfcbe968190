"""A split that is made: reproducible, stratified, near-duplicates on one side."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example
from detection.data.near_duplicates import groups_of_one_scene, original_name
from detection.data.split_file import PictureSplit, make_split, picture_name


def picture(path: Path, seed: int, *, noise: int = 0) -> Path:
    """Soft blobs, other ones for each seed."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    image = cv2.resize(small, (64, 48), interpolation=cv2.INTER_CUBIC).astype(int)
    image += np.random.default_rng(1).integers(0, noise + 1, image.shape)
    cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))
    return path


def dataset(root: Path, names: list[str], labels: list[list[int]]) -> DetectionDataset:
    examples = []
    for number, (name, own) in enumerate(zip(names, labels, strict=True), start=1):
        path = root / name
        if not path.is_file():
            picture(path, seed=number)
        boxes = np.tile(np.array([[4, 4, 20, 20]], np.float32), (len(own), 1))
        no = np.zeros(len(own), bool)
        areas = np.full(len(own), 256.0)
        examples.append(
            Example(number, path, (48, 64), boxes, np.array(own, np.int64), no, no,
                    boxes.astype(float), areas)
        )  # fmt: skip
    return DetectionDataset(("a", "b", "c"), (1, 2, 3), examples, root)


def test_a_fifth_validates_and_every_class_is_on_both_sides(tmp_path: Path) -> None:
    labels = [[1]] * 30 + [[2]] * 10 + [[1, 3]] * 5 + [[]] * 5
    whole = dataset(tmp_path, [f"{chr(97 + i % 26)}{i // 26}x.png" for i in range(50)], labels)

    split = make_split(whole, of="all", root=tmp_path, seed=1)

    assert len(split.train) + len(split.val) == 50
    assert not set(split.train) & set(split.val)
    assert 8 <= len(split.val) <= 12
    for side in ("train", "val"):
        shown = split.side(whole, side, root=tmp_path)
        assert {int(label) for e in shown.examples for label in e.labels} == {1, 2, 3}
    backwards = replace(whole, examples=whole.examples[::-1])
    assert make_split(backwards, of="all", root=tmp_path, seed=1) == split
    assert make_split(whole, of="all", root=tmp_path, seed=2).val != split.val


def test_copies_of_a_picture_are_one_scene(tmp_path: Path) -> None:
    paths = [
        picture(tmp_path / "cat_jpg.rf.0a1b2c.jpg", 1),
        picture(tmp_path / "dog.jpg", 2),
        picture(tmp_path / "cat_jpg.rf.99ffee.jpg", 3),  # turned, say: another look
        picture(tmp_path / "copy-of-a-dog.jpg", 2, noise=6),
        picture(tmp_path / "bird.jpg", 4),
    ]

    assert sorted(groups_of_one_scene(paths, largest=10)) == [[0, 2], [1, 3], [4]]
    assert original_name("cat_jpg.rf.0a1b2c.jpg") == "cat_jpg"


def test_neighbouring_frames_stay_together_but_one_video_is_cut(tmp_path: Path) -> None:
    frames = [picture(tmp_path / f"vid_{10 * i}.jpg", 5, noise=4) for i in range(3)]
    frames += [picture(tmp_path / f"vid_{10 * i}.jpg", i) for i in (8, 9)]

    assert sorted(groups_of_one_scene(frames, largest=3)) == [[0, 1, 2], [3], [4]]

    one_video = []
    for i in range(12):  # a slow pan: neighbours are alike, the ends are not
        left = picture(tmp_path / "wide.png", 7)
        wide = cv2.resize(cv2.imread(str(left)), (400, 48))
        cv2.imwrite(str(tmp_path / f"pan{i}.png"), wide[:, 16 * i : 16 * i + 64])
        one_video.append(tmp_path / f"pan{i}.png")
    assert max(map(len, groups_of_one_scene(one_video, largest=4))) <= 4


@pytest.mark.parametrize("number", [2, 3, 10])
def test_few_pictures_are_divided(tmp_path: Path, number: int) -> None:
    whole = dataset(tmp_path, [f"{'abcdefghij'[i]}.png" for i in range(number)], [[1]] * number)
    split = make_split(whole, of="all", root=tmp_path, seed=1)

    assert split.train
    assert 1 <= len(split.val) <= max(1, number // 4)


def test_pictures_that_all_look_alike_are_divided(tmp_path: Path) -> None:
    names = [f"{letter}.png" for letter in "abcdefgh"]
    for name in names:
        picture(tmp_path / name, 3)
    split = make_split(dataset(tmp_path, names, [[1]] * 8), of="all", root=tmp_path, seed=1)

    assert split.val
    assert len(split.train) >= 6


def test_a_class_in_one_picture_is_learnt(tmp_path: Path) -> None:
    names = [f"{letter}.png" for letter in "abcdefghijkl"]
    whole = dataset(tmp_path, names, [[1]] * 11 + [[2]])
    for seed in range(5):
        assert "l.png" in make_split(whole, of="all", root=tmp_path, seed=seed).train


def test_one_picture_cannot_be_divided(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one picture cannot be divided"):
        make_split(dataset(tmp_path, ["a.png"], [[1]]), of="all", root=tmp_path, seed=1)


def test_the_file_leads_to_the_same_split(tmp_path: Path) -> None:
    whole = dataset(tmp_path, ["ä.png", "b.png", "c.png"], [[1], [2], [1]])
    split = make_split(whole, of="all", root=tmp_path, seed=1)
    file = tmp_path / "split.json"
    file.write_text(split.to_json(), encoding="utf-8")

    assert PictureSplit.load(file) == split
    fewer = replace(whole, examples=whole.examples[1:])
    with pytest.raises(ValueError, match=r"1 pictures of the split's train side are not there.*ä"):
        replace(split, train=("ä.png", "b.png"), val=("c.png",)).side(fewer, "train", root=tmp_path)
    file.write_text('{"train": []}')
    with pytest.raises(ValueError, match=re.escape(f"data.split_file={file}: no split")):
        PictureSplit.load(file)
    with pytest.raises(FileNotFoundError, match="no such file"):
        PictureSplit.load(tmp_path / "none.json")


def test_names_are_relative_to_the_folder_of_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text("{}")
    assert picture_name(tmp_path / "images" / "a.jpg", tmp_path / "own.json") == "images/a.jpg"
