"""Folders of classes and CIFAR-10's binary files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detection.classification.images import LabelledImages, open_labelled


def write_folder(root: Path, split: str, **classes: int) -> None:
    for label, (name, count) in enumerate(classes.items()):
        (root / split / name).mkdir(parents=True)
        for i in range(count):
            image = np.full((6, 8, 3), 40 * label + i, dtype=np.uint8)
            cv2.imwrite(str(root / split / name / f"{i}.PNG"), image)


def test_folders_are_classes_in_the_order_of_the_alphabet(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", dog=1, cat=2)
    (tmp_path / "train" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "train" / ".hidden").mkdir()
    dataset = open_labelled(root=tmp_path, split="train", in_memory=False, images=None)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.classes.tolist() == [0, 0, 1]
    assert [int(dataset.images[i][0, 0, 0]) for i in range(3)] == [40, 41, 0]
    assert "3 images of 2 classes" in dataset.report()


def test_in_memory_the_images_are_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", cat=2, dog=1)
    read, kept = (
        open_labelled(root=tmp_path, split="train", in_memory=memory, images=None)
        for memory in (False, True)
    )
    assert isinstance(kept.images, np.ndarray)
    assert kept.images.shape == (3, 6, 8, 3)
    for i in range(3):
        np.testing.assert_array_equal(kept.images[i], read.images[i])


def test_only_the_images_that_are_asked_for_are_read(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", cat=2, dog=1)
    (tmp_path / "train" / "cat" / "1.PNG").write_bytes(b"broken")
    dataset = open_labelled(root=tmp_path, split="train", in_memory=True, images=2)
    assert values(dataset) == [0, 40]


def test_images_of_several_sizes_are_not_kept_in_memory(tmp_path: Path) -> None:
    write_folder(tmp_path, "train", cat=1)
    cv2.imwrite(str(tmp_path / "train" / "cat" / "x.png"), np.zeros((5, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match=r"8x6 and of 8x5.*in_memory=false"):
        open_labelled(root=tmp_path, split="train", in_memory=True, images=None)


@pytest.fixture
def twelve() -> LabelledImages:
    images = np.arange(12, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    return LabelledImages(("a", "b"), np.arange(12) % 2, images, Path("set"))


def values(dataset: LabelledImages) -> list[int]:
    return [int(dataset.images[i][0, 0, 0]) for i in range(len(dataset))]


def test_every_spreads_and_shards_are_a_partition(twelve: LabelledImages) -> None:
    some = twelve.every(4)  # 0, 11/3 = 3.67, 7.33, 11
    assert values(some) == [0, 4, 7, 11]
    assert some.classes.tolist() == [0, 0, 1, 1]
    assert twelve.every(None) is twelve
    shards = [twelve.shard(rank, 5) for rank in range(5)]
    assert [values(shard) for shard in shards] == [
        [0, 5, 10], [1, 6, 11], [2, 7], [3, 8], [4, 9],
    ]  # fmt: skip
    assert shards[0].classes.tolist() == [0, 1, 0]


def test_classes_are_matched_by_name(twelve: LabelledImages) -> None:
    renamed = twelve.with_class_names(["z", "b", "a"])
    assert renamed.classes.tolist() == [2, 1] * 6
    with pytest.raises(ValueError, match="classes b, which"):
        twelve.with_class_names(["a"])


def write_cifar(folder: Path) -> np.ndarray:
    """One record per file; returns the images, RGB planes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batches.meta.txt").write_text("airplane\nautomobile\nbird\n\n")
    planes = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), dtype=np.uint8)
    names = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    for label, (name, image) in enumerate(zip(names, planes, strict=True)):
        (folder / name).write_bytes(bytes([label % 3]) + image.tobytes())
    return planes


@pytest.mark.parametrize("inside", [".", "cifar-10-batches-bin"])
def test_cifar_binary_files(tmp_path: Path, inside: str) -> None:
    planes = write_cifar(tmp_path / inside)
    train = open_labelled(root=tmp_path, split="train", in_memory=True, images=None)
    assert train.class_names == ("airplane", "automobile", "bird")
    assert train.classes.tolist() == [0, 1, 2, 0, 1]
    red, green, blue = planes[3, :, 7, 9]
    assert train.images[3][7, 9].tolist() == [blue, green, red]
    test = open_labelled(root=tmp_path, split="test", in_memory=True, images=None)
    assert len(test) == 1


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        open_labelled(root=tmp_path / "nowhere", split="train", in_memory=False, images=None)
    write_folder(tmp_path / "a", "train", cat=1)
    with pytest.raises(FileNotFoundError, match="holds train"):
        open_labelled(root=tmp_path / "a", split="val", in_memory=False, images=None)
    (tmp_path / "a" / "train" / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: no images"):
        open_labelled(root=tmp_path / "a", split="train", in_memory=False, images=None)

    write_cifar(tmp_path / "b")
    with pytest.raises(ValueError, match="splits train and test, not 'val'"):
        open_labelled(root=tmp_path / "b", split="val", in_memory=True, images=None)
    (tmp_path / "b" / "data_batch_2.bin").write_bytes(b"12345")
    with pytest.raises(ValueError, match=r"data_batch_2\.bin: 5 bytes"):
        open_labelled(root=tmp_path / "b", split="train", in_memory=True, images=None)
    (tmp_path / "b" / "test_batch.bin").write_bytes(bytes([9]) + bytes(3072))
    with pytest.raises(ValueError, match="class 9 in the records, 3 names"):
        open_labelled(root=tmp_path / "b", split="test", in_memory=True, images=None)

    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "data_batch_1").write_bytes(b"a pickle")
    with pytest.raises(ValueError, match="binary version"):
        open_labelled(root=tmp_path / "c", split="train", in_memory=True, images=None)


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_is_held_out_does_not_train(in_memory: bool) -> None:
    images = np.arange(10, dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(3, axis=3)
    stored = images if in_memory else list(images)
    whole = LabelledImages(("a", "b"), np.arange(10) % 2, stored, Path("set"))  # type: ignore[arg-type]
    train, held = whole.divided(3)
    numbers = [[int(one.images[i][0, 0, 0]) for i in range(len(one))] for one in (train, held)]
    assert (len(train), len(held)) == (7, 3)
    assert sorted(number for own in numbers for number in own) == list(range(10))
    for one, own in zip((train, held), numbers, strict=True):
        assert one.classes.tolist() == [n % 2 for n in own]
    again = whole.divided(3)[1]
    assert again.classes.tolist() == held.classes.tolist()
    for wrong in (0, 10):
        with pytest.raises(ValueError, match="must be less than the 10 training images"):
            whole.divided(wrong)
