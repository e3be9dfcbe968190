"""What was found in a photo: a sequence with names, pictures and tables."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import ImageShow

from detection.inference.result import Detection, Result
from detection.structures import Detections


def make_result(count: int = 3, path: Path | None = Path("photos/photo.jpg")) -> Result:
    photo = np.zeros((120, 160, 3), dtype=np.uint8)
    photo[:, :, 0] = 200  # blue
    boxes = torch.tensor([[10.0, 20, 60, 80], [70, 30, 150, 110], [5, 5, 30, 30]])
    found = Detections(boxes, torch.tensor([0.98, 0.5, 0.25]), torch.tensor([2, 1, 2]))
    return Result(found[:count], ("dog", "person"), (18, 1), photo, path)


def test_it_is_a_sequence_of_named_detections() -> None:
    result = make_result()
    assert len(result) == 3
    first, second, third = result
    assert first == Detection((10, 20, 60, 80), pytest.approx(0.98), 2, "person")
    assert result[0] == first
    assert result[-1] == result[np.int64(2)] == third
    assert str(second) == "dog 0.50 at (70, 30, 150, 110)"
    assert result.names == ["person", "dog", "person"]
    with pytest.raises(IndexError, match="detection 3 of 3"):
        result[3]
    assert not make_result(0)


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (slice(1), [0]),
        ([2, 0], [2, 0]),
        ([], []),
        (torch.tensor([True, False, True]), [0, 2]),
        (np.array([False, True, False]), [1]),
        ([False, False, True], [2]),
        (torch.tensor([], dtype=torch.int64), []),
    ],
)
def test_parts_of_it_are_results(index: Any, kept: list[int]) -> None:
    whole = make_result()
    part = whole[index]
    assert isinstance(part, Result)
    assert [*part] == [whole[i] for i in kept]
    assert part.path == whole.path


def test_classes_are_chosen_by_name() -> None:
    assert make_result().named("person").scores.tolist() == pytest.approx([0.98, 0.25])
    assert len(make_result().named()) == 0
    with pytest.raises(ValueError, match="no class 'cat'; there are dog, person"):
        make_result().named("cat")


def test_it_says_what_was_found_where() -> None:
    assert repr(make_result()) == (
        "<Result: 3 detections in photo.jpg: person 0.98, dog 0.50, person 0.25>"
    )
    assert repr(make_result(1, None)) == "<Result: 1 detection in 160 x 120: person 0.98>"
    assert repr(make_result(0)) == "<Result: 0 detections in photo.jpg>"
    many = make_result()[[0, 1, 2, 0, 1, 2]]
    assert repr(many).endswith("person 0.25, person 0.98, dog 0.50, ...>")


def test_the_picture_is_rgb_and_for_opencv_bgr() -> None:
    result = make_result()
    assert result.image[0, 0].tolist() == [0, 0, 200]
    drawn = result.draw()
    assert drawn[0, 159].tolist() == [0, 0, 200]
    assert (drawn != result.image).any()
    np.testing.assert_array_equal(result.draw(bgr=True)[:, :, ::-1], drawn)
    assert result.photo[0, 0].tolist() == [200, 0, 0]  # not drawn on


@pytest.mark.parametrize("name", ["a.png", "new/folder/照片 1.webp", "b.JPG"])
def test_a_picture_is_saved_by_its_suffix(tmp_path: Path, name: str) -> None:
    make_result().save(str(tmp_path / name))
    coded = np.frombuffer((tmp_path / name).read_bytes(), dtype=np.uint8)
    read = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    assert int(np.abs(read.astype(int) - make_result().draw(bgr=True)).mean()) < 8


def test_a_picture_too_long_for_its_format_is_saved_all_the_same(tmp_path: Path) -> None:
    found = Detections(torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64))
    result = Result(found, ("dog",), (18,), np.zeros((4, 70_000, 3), np.uint8), None)
    result.save(tmp_path / "long.jpg")
    read = cv2.imdecode(np.fromfile(tmp_path / "long.jpg", np.uint8), cv2.IMREAD_COLOR)
    assert read.shape[1] == 70_000


def test_what_opencv_does_not_encode_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda suffix, image: (False, None))
    with pytest.raises(ValueError, match=r"a\.png: could not be written as \.png"):
        make_result().save(tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
    with pytest.raises(ValueError, match=r"could not be written as \.png"):
        make_result()._repr_png_()


def test_json_is_saved_too(tmp_path: Path) -> None:
    make_result().save(tmp_path / "found.json")
    assert json.loads((tmp_path / "found.json").read_text()) == make_result().to_coco()


@pytest.mark.parametrize("name", ["a.txt", "a", "a.xyz"])
def test_another_suffix_is_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"a picture \(\.jpg, .*or \.json can be written"):
        make_result().save(tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()


def test_coco_has_the_data_sets_own_ids() -> None:
    first, second, _ = make_result().to_coco(image_id=42)
    assert first == {
        "image_id": 42,
        "file_name": "photo.jpg",
        "category_id": 1,
        "bbox": [10, 20, 50, 60],
        "score": pytest.approx(0.98),
        "class_name": "person",
    }
    assert second["category_id"] == 18
    assert "image_id" not in make_result().to_coco()[0]
    assert "file_name" not in make_result(path=None).to_coco()[0]


def test_a_table_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = make_result().to_pandas()
    assert table.loc[1, ["class_name", "x1", "y2", "file_name"]].tolist() == [
        "dog",
        70,
        110,
        "photo.jpg",
    ]
    assert pandas.api.types.is_float_dtype(table["score"])
    assert make_result(0).to_pandas().columns.tolist() == table.columns.tolist()


def test_detections_of_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        import supervision  # noqa: F401
    except ImportError:  # what it is given, then
        stand_in = SimpleNamespace(Detections=lambda **given: SimpleNamespace(**given))
        monkeypatch.setitem(sys.modules, "supervision", stand_in)
    found = make_result().to_supervision()
    assert found.xyxy.tolist()[0] == [10, 20, 60, 80]
    assert found.class_id.tolist() == [1, 0, 1]
    assert found.confidence.tolist() == pytest.approx([0.98, 0.5, 0.25])
    assert found.data["class_name"].tolist() == ["person", "dog", "person"]
    assert make_result(0).to_supervision().xyxy.shape == (0, 4)


@pytest.mark.parametrize("name", ["pandas", "supervision"])
def test_a_package_that_is_not_there_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'{name} is needed.*"detection\[{name}\]"') as caught:
        getattr(make_result(), f"to_{name}")()
    assert "\n" not in str(caught.value)


def test_a_notebook_shows_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    display = SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    result = make_result()
    result.show()
    assert [picture.size[0] for picture in shown] == [160]
    assert np.array_equal(np.asarray(shown[0]), result.draw())
    assert result._repr_png_().startswith(b"\x89PNG")


def test_elsewhere_the_systems_viewer_does_or_its_lack_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    shown = []
    monkeypatch.setattr(ImageShow, "show", lambda image, title: shown.append(image.size) or True)
    make_result().show()
    assert shown == [(160, 120)]
    monkeypatch.setattr(ImageShow, "show", lambda image, title: False)
    with pytest.raises(RuntimeError, match=r"no viewer .*save\('drawn\.jpg'\)"):
        make_result().show()


def test_steps_go_backwards_and_a_tensor_is_a_number() -> None:
    result = make_result()
    assert result[::-1].scores.tolist() == result.scores.tolist()[::-1]
    assert result[torch.tensor(0)] == result[0]
    assert result[np.int64(-1)] == result[-1]


@pytest.mark.parametrize("index", [1.5, None, True, ..., [[0]]])
def test_what_is_no_index_is_said(index: Any) -> None:
    with pytest.raises(TypeError, match="an index is a number, a slice, a mask or a list"):
        make_result()[index]


def test_the_name_of_a_class_is_no_index() -> None:
    with pytest.raises(TypeError, match=r"those of a class are named\('cat'\)"):
        make_result()["cat"]


def test_numbers_of_numpy_become_json() -> None:
    assert json.dumps(make_result().to_coco(image_id=np.int64(7)))  # type: ignore[arg-type]


def test_an_empty_table_has_the_types_of_a_full_one() -> None:
    pytest.importorskip("pandas")
    full, empty = make_result().to_pandas(), make_result(0).to_pandas()
    for column in ("score", "x1", "label"):
        assert empty[column].dtype == full[column].dtype
