"""What other programs call a key: the users of those find ours."""

from __future__ import annotations

from dataclasses import dataclass

from detection.earlier_versions import MOVED_KEYS


@dataclass(frozen=True)
class OtherName:
    """Those of our keys that it may stand for: the first one that the command has counts."""

    keys: tuple[str, ...]
    note: str = ""


_BATCH = OtherName(("schedule.batch_size", "batch_size", "pretraining.batch_size"))
_SCORE = OtherName(("score_threshold", "inference.post_processing.score_threshold"))
_IOU = OtherName(("nms_iou", "inference.post_processing.nms_iou"))
_ITERATIONS = OtherName(("schedule.rules.iterations",))
_OUTPUT = OtherName(("output_dir", "output"))
_RATE = OtherName(
    ("schedule.learning_rate.reference",),
    "it is the rate for schedule.learning_rate.reference_batch images",
)
OTHER_NAMES = {
    **{old: OtherName((new,)) for old, new in MOVED_KEYS.items()},
    "lr": _RATE,
    "epochs": OtherName(
        ("schedule.recipe.epochs", "schedule.rules.iterations", "pretraining.epochs"),
        "an iteration is schedule.batch_size images, an epoch all images of the training set",
    ),
    "batch": _BATCH,
    "batch_size": _BATCH,
    "imgsz": OtherName(
        ("data.shorter_sides", "data.test_shorter_side", "data.crop.side", "shorter_side"),
        "in pixels; longest= bounds the other side",
    ),
    "device": OtherName(("runtime.device",)),
    "workers": OtherName(("runtime.workers",)),
    "classes": OtherName(("data.classes",)),
    "threshold": _SCORE,
    "conf": _SCORE,
    "conf_thres": _SCORE,
    "iou": _IOU,
    "iou_thres": _IOU,
    "max_det": OtherName(("per_image", "inference.post_processing.per_image")),
    "lr0": _RATE,
    "learning_rate": _RATE,
    "max_iter": _ITERATIONS,
    "iterations": _ITERATIONS,
    "data": OtherName(("data.root",)),
    "dataset": OtherName(("data.root",)),
    "source": OtherName(("images",)),
    "model": OtherName(("checkpoint",)),
    "backbone": OtherName(("model.backbone.depth",)),
    "pretrained": OtherName(("weights",)),
    "name": _OUTPUT,
    "project": _OUTPUT,
    "out": _OUTPUT,
    "half": OtherName(("runtime.precision",)),
    "amp": OtherName(("runtime.precision",)),
    "exist_ok": OtherName(("overwrite",)),
}
