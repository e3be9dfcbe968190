"""The published weights that have a name here: what they are, where they come from, their licence.

Nothing large is imported, so that ``detection weights`` answers at once.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from detection.user_path import user_path

Kind = Literal["detector", "backbone"]


@dataclass(frozen=True)
class PublishedFile:
    """Where a file is, and the beginning of its hash as its authors publish it.

    ``algorithm``, ``digest``: None where none is published; then a download is checked by its
    length, and by every tensor of the network being in it.
    """

    address: str
    algorithm: Literal["md5", "sha256"] | None
    digest: str | None

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]

    @property
    def checked_by(self) -> str:
        """How it is known that a file is the published one."""
        return f"{self.algorithm} {self.digest}..." if self.algorithm else "length and contents"


@dataclass(frozen=True, kw_only=True)
class Published:
    """Weights with a name.

    ``num_classes``: a detector's.
    ``pixels``: the file of configs/model/pixels/ that they were trained on.
    ``result``: what their authors measured.  ``source``: the page that says all this.
    ``location``: the file, or the name of torchvision's weights, which knows its file.
    """

    name: str
    kind: Kind
    what: str
    depth: int
    num_classes: int | None = None
    pixels: str
    stride_in_1x1: bool
    result: str
    licence: str
    source: str
    location: PublishedFile | str

    def file(self) -> PublishedFile:
        """Torchvision says itself where its files are; importing it takes seconds."""
        if isinstance(self.location, PublishedFile):
            return self.location
        from torchvision.models import get_weight

        address = get_weight(self.location).url
        # resnet50-0676ba61.pth: torch.hub checks what is behind the hyphen as a sha256.
        digest = address.rpartition("-")[2].partition(".")[0]
        return PublishedFile(address, "sha256", digest)


def check_name(given: str) -> None:
    """Raises FileNotFoundError for a word that is neither a name nor a file; a path has a folder
    or a suffix.
    """
    path = user_path(given)
    word = path.name == given and not path.suffix and not given.startswith("[")
    if word and given not in PUBLISHED and not path.exists():
        raise FileNotFoundError(
            f"{given}: no such file of weights, and no name of published ones: {nearest(given)}"
        )


def nearest(name: str) -> str:
    """The names that ``name`` may have meant, or all of them."""
    near = difflib.get_close_matches(name, PUBLISHED, n=3, cutoff=0.6)
    if not near:  # resnet50: what has this depth
        depths = {f"r{number}" for number in re.findall(r"\d+", name)}
        near = [known for known in PUBLISHED if depths & {*known.split("_")}]
    return f"did you mean {' or '.join(near)}?" if near else f"the names are {', '.join(PUBLISHED)}"


_ZOO = "https://github.com/facebookresearch/detectron2/blob/main/MODEL_ZOO.md"
_FILES = "https://dl.fbaipublicfiles.com"


def _detector(
    name: str, what: str, depth: int, num_classes: int, result: str, path: str
) -> Published:
    """A Faster R-CNN C4 of detectron2's model zoo, whose file names end in an md5 prefix."""
    digest = path.rpartition("_")[2].removesuffix(".pkl")
    return Published(
        name=name,
        kind="detector",
        what=what,
        depth=depth,
        num_classes=num_classes,
        pixels="detectron2",
        stride_in_1x1=True,
        result=result,
        licence="CC BY-SA 3.0",
        source=_ZOO,
        location=PublishedFile(f"{_FILES}/detectron2/{path}", "md5", digest),
    )


def _msra(depth: int, result: str) -> Published:
    """The paper's own network, as detectron2 has converted it.  No hash of it is published."""
    address = f"{_FILES}/detectron2/ImageNetPretrained/MSRA/R-{depth}.pkl"
    return Published(
        name=f"msra_r{depth}",
        kind="backbone",
        what=f"the paper's ResNet-{depth}, converted by detectron2",
        depth=depth,
        pixels="msra",
        stride_in_1x1=True,
        result=result,
        licence="CC BY-SA 3.0",
        source=_ZOO,
        location=PublishedFile(address, None, None),
    )


def _torchvision(depth: int, version: int, result: str) -> Published:
    recipe = "a simple recipe" if version == 1 else "its newer recipe"
    return Published(
        name=f"torchvision_r{depth}_v{version}",
        kind="backbone",
        what=f"torchvision's ResNet-{depth}, {recipe}",
        depth=depth,
        pixels="torchvision",
        stride_in_1x1=False,
        result=result,
        licence="none named; ImageNet's terms may hold",
        source="https://docs.pytorch.org/vision/stable/models.html",
        location=f"ResNet{depth}_Weights.IMAGENET1K_V{version}",
    )


PUBLISHED: dict[str, Published] = {
    row.name: row
    for row in (
        _detector(
            "coco_r50_c4",
            "Faster R-CNN C4, ResNet-50, 12 epochs of COCO train2017",
            50,
            80,
            "AP 35.7 on COCO val2017",
            "COCO-Detection/faster_rcnn_R_50_C4_1x/137257644/model_final_721ade.pkl",
        ),
        _detector(
            "coco_r50_c4_3x",
            "Faster R-CNN C4, ResNet-50, 37 epochs of COCO train2017",
            50,
            80,
            "AP 38.4 on COCO val2017",
            "COCO-Detection/faster_rcnn_R_50_C4_3x/137849393/model_final_f97cb7.pkl",
        ),
        _detector(
            "coco_r101_c4",
            "Faster R-CNN C4, ResNet-101, 37 epochs of COCO train2017",
            101,
            80,
            "AP 41.1 on COCO val2017",
            "COCO-Detection/faster_rcnn_R_101_C4_3x/138204752/model_final_298dad.pkl",
        ),
        _detector(
            "voc_r50_c4",
            "Faster R-CNN C4, ResNet-50, VOC 07+12 trainval",
            50,
            20,
            "AP 51.9, AP50 80.3 on VOC 2007 test",
            "PascalVOC-Detection/faster_rcnn_R_50_C4/142202221/model_final_b1acc2.pkl",
        ),
        _msra(50, "top-1 75.3 %"),
        _msra(101, "top-1 76.4 %"),
        _torchvision(18, 1, "top-1 69.8 %"),
        _torchvision(34, 1, "top-1 73.3 %"),
        _torchvision(50, 1, "top-1 76.1 %"),
        _torchvision(50, 2, "top-1 80.9 %"),
        _torchvision(101, 1, "top-1 77.4 %"),
        _torchvision(101, 2, "top-1 81.9 %"),
        _torchvision(152, 1, "top-1 78.3 %"),
        _torchvision(152, 2, "top-1 82.3 %"),
        Published(
            name="moco_v2_r50",
            kind="backbone",
            what="MoCo v2's ResNet-50, 800 epochs without labels",
            depth=50,
            pixels="torchvision",
            stride_in_1x1=False,
            result="top-1 71.1 % of a linear classifier",
            licence="CC BY-NC 4.0",
            source="https://github.com/facebookresearch/moco",
            location=PublishedFile(
                f"{_FILES}/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar",
                "md5",  # the column md5 of its README
                "a04e12f8",
            ),
        ),
    )
}
