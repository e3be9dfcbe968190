"""One whole, small input for each reader: {file: bytes}; what is mutated begins here."""

from __future__ import annotations

import io
import json
import pickle
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save as to_safetensors

from detection.checkpoint import ClassifierCheckpoint

Files = dict[str, bytes]

_BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
_VOC = (
    "<annotation><filename>a.png</filename><size><width>16</width><height>12</height>"
    f"<depth>3</depth></size><object><name>a</name><difficult>0</difficult>{_BOX}</object>"
    "</annotation>"
)
_CVAT = (
    '<annotations><version>1.1</version><image id="0" name="a.png" width="16" height="12">'
    '<box label="a" xtl="1" ytl="1" xbr="9" ybr="9" occluded="0"/></image></annotations>'
)
COCO: dict[str, Any] = {
    "images": [{"id": 1, "file_name": "a.png", "width": 16, "height": 12}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    ],
}
_REGION = {
    "shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 9, "height": 9},
    "region_attributes": {"class": "a"},
}
_LABELME = {
    "version": "5",
    "shapes": [{"label": "a", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}],
    "imagePath": "a.png",
    "imageData": None,
    "imageWidth": 16,
    "imageHeight": 12,
}
_DETECTIONS = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.5}]
_OVERRIDES = [
    "data.root=x",
    "schedule.iterations=10",
    "data.shorter_sides=[600,700]",
    "data.classes=[a,b]",
    "model.backbone.depth=50",
    "+note={a: 1}",
]


def make_seeds() -> dict[str, Files]:
    """By "<reader> <kind>"; the reader is one of `readers.READERS`."""
    picture = _picture(".png")
    data: dict[str, Files] = {
        "COCO": {"annotations/instances_train2017.json": _json(COCO), "train2017/a.png": picture},
        "COCO-export": {"some.json": _json(COCO), "a.png": picture},
        "VOC": {
            "ImageSets/Main/train.txt": b"a\n",
            "Annotations/a.xml": _VOC.encode(),
            "JPEGImages/a.png": picture,
        },
        "VOC-loose": {"a.xml": _VOC.encode(), "a.png": picture},
        "DET": {
            "ImageSets/DET/val.txt": b"a 1\n",
            "Annotations/DET/val/a.xml": _VOC.replace("<name>a<", "<name>n02691156<").encode(),
            "Data/DET/val/a.JPEG": _picture(".jpg"),
        },
        "VIA": {
            "via.json": _json({"a.png1": {"filename": "a.png", "size": 1, "regions": [_REGION]}}),
            "a.png": picture,
        },
        "LabelMe": {"a.json": _json(_LABELME), "a.png": picture},
        "CVAT": {"a.xml": _CVAT.encode(), "a.png": picture},
        "YOLO": {
            "data.yaml": b"path: .\nnames: [a, b]\ntrain: images\nval: list.txt\n",
            "list.txt": b"images/a.png\n",
            "images/a.png": picture,
            "labels/a.txt": b"0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.2 0.1 0.2 0.2\n",
        },
        "CSV": {
            "a.csv": b"filename,width,height,class,xmin,ymin,xmax,ymax\na.png,16,12,a,1,1,9,9\n",
            "a.png": picture,
        },
    }
    seeds = {f"data {name}": files for name, files in data.items()}
    for suffix in (".jpg", ".png", ".tif", ".bmp", ".webp"):
        seeds[f"picture {suffix}"] = {f"a{suffix}": _picture(suffix)}
    for kind in (np.uint16, np.float32):
        seeds[f"picture {kind.__name__}.tif"] = {"a.tif": _picture(".tif", kind)}
    weights = {"conv1.weight": torch.ones(2, 3, 3, 3), "fc.bias": torch.zeros(4)}
    seeds["detections json"] = {"a.json": _json(_DETECTIONS)}
    split = {"of": "train", "seed": 0, "train": ["a"], "val": ["b"]}
    seeds["split json"] = {"a.json": _json(split)}
    for suffix in (".pt", ".safetensors"):
        seeds[f"checkpoint {suffix}"] = {f"a{suffix}": _checkpoint(weights, suffix)}
    seeds["weights .pth"] = {"a.pth": _torch(weights)}
    seeds["weights old.pth"] = {"a.pth": _torch(weights, zipped=False)}
    plain = {"model": {"conv1_w": np.ones((2, 3, 3, 3), np.float32)}, "matching": True}
    seeds["weights .pkl"] = {"a.pkl": pickle.dumps(plain)}
    seeds["weights system.pkl"] = {"a.pkl": b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."}
    seeds["weights eval.pth"] = {"a.pth": b"\x80\x02cbuiltins\neval\nX\x03\x00\x00\x001+1\x85R."}
    seeds["weights .safetensors"] = {"a.safetensors": to_safetensors(weights)}
    seeds["overrides train"] = {"overrides": "\n".join(_OVERRIDES).encode()}
    return seeds


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _picture(suffix: str, kind: type = np.uint8) -> bytes:
    image = np.arange(12 * 16 * 3).reshape(12, 16, 3) % 256
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255.0}[kind]
    done, data = cv2.imencode(suffix, (image * scale).astype(kind))
    assert done
    return data.tobytes()


def _torch(content: object, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _checkpoint(weights: dict[str, torch.Tensor], suffix: str) -> bytes:
    checkpoint = ClassifierCheckpoint(
        weights=weights, model_config={"depth": 18}, class_names=["a"], views={}
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        checkpoint.save(path)
        return path.read_bytes()
