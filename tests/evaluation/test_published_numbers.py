"""Numbers that others published, from the files they were published for.

The environment variable ``DETECTION_DATA`` names a folder with ``voc2007_eval/`` and
``coco_eval/``; without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from defusedxml import ElementTree

from detection.evaluation.coco_ap import evaluate_coco
from detection.evaluation.detections_file import read_detections
from detection.evaluation.voc_ap import evaluate_voc

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data() -> Path:
    if "DETECTION_DATA" not in os.environ:
        pytest.skip("DETECTION_DATA does not name the folder of real data")
    return Path(os.environ["DETECTION_DATA"])


@pytest.fixture(scope="module")
def voc2007(data: Path) -> dict[str, Any]:
    """The annotations of the 4,952 test images, straight from the archive's XML."""
    class_names = json.loads((data / "voc2007_eval/expected_ap07_and_area.json").read_text())
    class_ids = {name: number for number, name in enumerate(class_names, start=1)}
    images, annotations = [], []
    with tarfile.open(data / "voc2007_eval/VOC2007_test_annotations.tar.xz") as archive:
        for member in archive:
            if not member.name.endswith(".xml"):
                continue
            stem = Path(member.name).stem
            images.append({"id": int(stem), "file_name": f"{stem}.jpg"})
            for node in ElementTree.parse(archive.extractfile(member)).iter("object"):
                corners = ("xmin", "ymin", "xmax", "ymax")
                x1, y1, x2, y2 = (float(node.findtext(f"bndbox/{corner}")) for corner in corners)
                annotations.append(
                    {
                        "image_id": int(stem),
                        "category_id": class_ids[node.findtext("name")],
                        "bbox": [x1 - 1, y1 - 1, x2 - x1 + 1, y2 - y1 + 1],
                        "difficult": int(node.findtext("difficult")),
                    }
                )
    categories = [{"id": number, "name": name} for name, number in class_ids.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="module")
def voc2007_detections(
    data: Path, voc2007: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("comp4")
    with tarfile.open(data / "voc2007_eval/detections_comp4.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return read_detections(folder, voc2007)


def test_voc2007(data: Path, voc2007: dict[str, Any], voc2007_detections: list[dict[str, Any]]):
    expected = json.loads((data / "voc2007_eval/expected_ap07_and_area.json").read_text())
    begin = time.process_time()
    result = evaluate_voc(voc2007, voc2007_detections)
    assert time.process_time() - begin < 10  # of this process; 0.4 s were measured

    assert len(voc2007["images"]) == 4952
    assert result.mAP_11point == pytest.approx(0.7214, abs=1e-4)
    assert result.mAP_area == pytest.approx(0.7452, abs=1e-4)
    for name, (eleven_point, area) in expected.items():
        assert result.per_class[name].AP_11point == pytest.approx(eleven_point, abs=1e-4), name
        assert result.per_class[name].AP_area == pytest.approx(area, abs=1e-4), name


def test_coco_of_voc2007_sees_the_same_classes_and_nearly_the_same_ap50(
    voc2007: dict[str, Any], voc2007_detections: list[dict[str, Any]]
):
    # AP50 and area AP differ in matching, in sampling recall and in 100 detections per image:
    # no more than a point, unless one of them sees other boxes or other objects.
    coco = evaluate_coco(voc2007, voc2007_detections)
    voc = evaluate_voc(voc2007, voc2007_detections)
    for name, of_class in coco.per_class.items():
        assert of_class.num_objects == voc.per_class[name].num_objects
        assert abs(of_class.AP50 - voc.per_class[name].AP_area) < 0.01, name


@pytest.mark.parametrize("backend", ["hotcoco", "pycocotools"])
def test_coco_val2014_of_100_images(data: Path, backend: Any):
    folder = data / "coco_eval"
    truth = json.loads((folder / "instances_val2014_100.json").read_text())
    detections = read_detections(folder / "instances_val2014_fakebbox100_results.json", truth)
    result = evaluate_coco(truth, detections, backend=backend).as_dict()
    expected = json.loads((folder / "expected.json").read_text())
    assert {name: result[name] for name in expected} == pytest.approx(expected, abs=5e-5)
