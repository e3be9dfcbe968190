"""The presets are what the papers say: every value of them, written out by hand with its source.

He 2015: He et al., Deep Residual Learning.  Ren 2015: Faster R-CNN.  FRCN: Girshick 2015, Fast
R-CNN.  py: py-faster-rcnn (lib/fast_rcnn/config.py, the solvers and train_faster_rcnn_alt_opt.py).
d2: detectron2's configs/ and detectron2/config/defaults.py.  Values without a source are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from detection.cli.compose import CONFIGS, compose_config
from detection.cli.objects import as_plain

Values = dict[str, Any]
INF = float("inf")

RESNET = {
    "model.backbone._target_": "detection.model.resnet.ResNet",
    "model.backbone.depth": 101,  # He 2015, tables 7 and 8
    "model.backbone.stride_in_1x1": True,  # the MSRA models
    "model.backbone.norm": "frozen",  # He 2015, A: BN is fixed
    "model.backbone.frozen_stages": ["conv1", "conv2"],  # as VGG's; not stated
    "model.backbone.bin_step": 2,  # all that conv5_1, of stride 2, reads
}
VGG16 = {
    "model.backbone._target_": "detection.model.vgg.VGG16",
    "model.backbone.frozen_stages": ["conv1", "conv2"],  # Ren 2015, 3.1.3: conv3_1 and up
    "model.backbone.dropout": 0.5,  # py, models/pascal_voc/VGG16: drop6, drop7
    "model.backbone.pooled_size": 7,  # FRCN 2.1
    "model.roi_head.pooled_size": 7,
}
CAFFE_PIXELS = {
    "model.pixels._target_": "detection.model.pixels.PixelFormat",
    "model.pixels.order": "BGR",
    "model.pixels.mean": [102.9801, 115.9465, 122.7717],  # py, PIXEL_MEANS
    "model.pixels.std": [1.0, 1.0, 1.0],
}
DETECTOR = {
    "model._target_": "detection.model.faster_rcnn.FasterRCNN",
    "model.num_classes": None,
    "model.context": False,
    "model.rpn._target_": "detection.model.rpn.RPN",
    "model.rpn._partial_": True,
    "model.rpn.hidden_channels": 512,  # Ren 2015, 3.1: 512-d for VGG
    "model.rpn.sigma": 3.0,  # py, rpn_loss_bbox
    "model.rpn.init_std": 0.01,  # Ren 2015, 3.1.3
    "model.rpn.anchors._target_": "detection.model.anchors.Anchors",
    "model.rpn.anchors.sizes": [64, 128, 256, 512],  # Ren 2015, COCO: 64 is added
    "model.rpn.anchors.aspect_ratios": [0.5, 1.0, 2.0],  # Ren 2015, 3.1.3
    "model.rpn.anchors.stride": 16,  # He 2015, A
    "model.rpn.anchors.centre": 8.0,  # py, generate_anchors.py
    "model.rpn.anchors.rounded": True,  # py, generate_anchors.py
    "model.rpn.sampling._target_": "detection.model.targets.AnchorSampling",
    "model.rpn.sampling.per_image": 256,  # Ren 2015, 3.1.3
    "model.rpn.sampling.positive_fraction": 0.5,  # Ren 2015, 3.1.3
    "model.rpn.sampling.positive_iou": 0.7,  # Ren 2015, 3.1.2
    "model.rpn.sampling.negative_iou": 0.3,  # Ren 2015, 3.1.2
    "model.rpn.sampling.cross_boundary": False,  # Ren 2015, 3.3
    "model.rpn.sampling.ignore_coverage": 0.7,
    "model.rpn.sampling.divide_by": "sampled",  # py, anchor_target_layer
    "model.rpn.training_proposals._target_": "detection.model.proposals.ProposalSelection",
    "model.rpn.training_proposals.before_nms": 12000,  # py, RPN_PRE_NMS_TOP_N
    "model.rpn.training_proposals.nms_iou": 0.7,  # Ren 2015, 3.3
    "model.rpn.training_proposals.after_nms": 2000,  # Ren 2015, 3.3
    "model.rpn.training_proposals.min_size": 0.0,  # a difference: docs/paper.md
    "model.rpn.test_proposals._target_": "detection.model.proposals.ProposalSelection",
    "model.rpn.test_proposals.before_nms": 6000,  # py, TEST.RPN_PRE_NMS_TOP_N
    "model.rpn.test_proposals.nms_iou": 0.7,  # Ren 2015, 3.3
    "model.rpn.test_proposals.after_nms": 300,  # He 2015, A
    "model.rpn.test_proposals.min_size": 0.0,  # a difference: docs/paper.md
    "model.roi_head._target_": "detection.model.roi_head.RoIHead",
    "model.roi_head._partial_": True,
    "model.roi_head.pooled_size": 14,  # conv5 halves it to 7
    "model.roi_head.pooling": "roi_pool",  # He 2015, A
    "model.roi_head.box_weights": [10.0, 10.0, 5.0, 5.0],  # py, BBOX_NORMALIZE_STDS .1 .1 .2 .2
    "model.roi_head.sigma": 1.0,  # FRCN eq. 3
    "model.roi_head.class_init_std": 0.01,  # FRCN 2.3
    "model.roi_head.box_init_std": 0.001,  # FRCN 2.3
    "model.roi_head.sampling._target_": "detection.model.targets.RegionSampling",
    "model.roi_head.sampling.per_image": 128,  # py, BATCH_SIZE, of one image in joint training
    "model.roi_head.sampling.foreground_fraction": 0.25,  # FRCN 2.3
    "model.roi_head.sampling.foreground_iou": 0.5,  # FRCN 2.3
    "model.roi_head.sampling.background_iou": [0.0, 0.5],  # Ren 2015, COCO
    "model.roi_head.sampling.ignore_coverage": 0.7,
    "model.roi_head.sampling.divide_by": "image",
}
DATA = {
    "data.root": "x",
    "data.format._target_": None,
    "data.train_split": "train",
    "data.val_split": "val",
    "data.classes": None,
    "data.split_file": None,
    "data.allow_outside": False,
    "data.invalid_boxes": "clip",
    "data.ignore_crowd": True,
    "data.ignore_difficult": True,  # py, config.use_diff is false
    "data.train_on_empty": True,
    "data.repeat_threshold": 0,
    "data.shorter_sides": [600],  # Ren 2015, 3.1.3
    "data.test_shorter_side": 600,
    "data.longest": 1000,  # py, MAX_SIZE
    "data.size_step": 0,
    "data.flip_probability": 0.5,  # FRCN 2.3
    "data.crop_probability": 0,
    "data.crop_least": 0.5,
    "data.colour": 0,
}
RULES = {
    "schedule.rules._target_": "detection.engine.train.TrainingRules",
    "schedule.rules.accumulate": 1,
    "schedule.rules.clip_norm": None,
    "schedule.rules.patience": None,
    "schedule.rules.ema_decay": None,
}
RATE = {
    "schedule.learning_rate._target_": "detection.engine.schedules.LearningRate",
    "schedule.learning_rate.warmup_iterations": 0,
    "schedule.learning_rate.warmup_factor": 0.1,
    "schedule.learning_rate.decay": 0.1,
}
SCHEDULE = {
    **RULES,
    **RATE,
    "schedule.optimizer._target_": "detection.engine.optimizers.sgd",
    "schedule.optimizer._partial_": True,
    "schedule.optimizer.momentum": 0.9,  # Ren 2015, 3.1.3
    "schedule.optimizer.weight_decay": 0.0001,  # He 2015, 3.4
    "schedule.optimizer.bias_rate_factor": 2.0,  # py, lr_mult of biases
    "schedule.optimizer.bias_weight_decay": 0.0,  # py, decay_mult of biases
    "schedule.optimizer.norm_weight_decay": 0.0,
    "schedule.batch_size": 8,  # He 2015, A: RPN
    "schedule.fast_rcnn_batch": 2,  # He 2015, A: 16 images
    "schedule.fast_rcnn_length": 1.0,  # He 2015, A: both steps
    "schedule.precise_bn": 0,
    "schedule.recipe": None,
    "schedule.rules.iterations": 320_000,  # He 2015, A: 240k and 80k
    "schedule.rules.log_every": 20,
    "schedule.rules.evaluate_every": 20_000,
    "schedule.rules.checkpoint_every": 2_000,
    "schedule.learning_rate.reference": 0.001,  # He 2015, A
    "schedule.learning_rate.reference_batch": 8,
    "schedule.learning_rate.batch_size": 8,
    "schedule.learning_rate.milestones": [240_000],  # He 2015, A
}
INFERENCE = {
    "inference._target_": "detection.inference.detector.Inference",
    "inference.multi_scale._target_": "detection.inference.multi_scale.MultiScale",
    "inference.multi_scale.shorter_sides": [],
    "inference.multi_scale.longest": 1667,  # 1000 / 600 of 1000
    "inference.multi_scale.region_side": 224,  # He et al. 2014, SPPnet
    "inference.multi_scale.maximum": "region_features",
    "inference.flip": False,
    "inference.refinement._target_": "detection.inference.refine.Refinement",
    "inference.refinement.passes": 0,
    "inference.refinement.regions": "best_class",
    "inference.refinement.minimum_score": 0.0,
    "inference.post_processing._target_": ("detection.inference.post_processing.PostProcessing"),
    "inference.post_processing.score_threshold": 0.05,  # py, test_net
    "inference.post_processing.nms_iou": 0.3,  # He 2015, B; py, TEST.NMS
    "inference.post_processing.voting_iou": None,
    "inference.post_processing.per_image": 100,  # py, max_per_image
}
PAPER2015 = RESNET | CAFFE_PIXELS | DETECTOR | DATA | SCHEDULE | INFERENCE

# ---- The tables of He 2015, as differences from that -------------------------------------------

WITH_VGG16 = dict.fromkeys(RESNET) | VGG16  # None: not there
LARGE_ANCHORS = {"model.rpn.anchors.sizes": [128, 256, 512]}  # Ren 2015, 3.1.3
WRITTEN = {"model.rpn.training_proposals.before_nms": None}  # py, rpn_generate: -1
UNMEASURED = {"schedule.rules.evaluate_every": 0}
VOC = {
    **LARGE_ANCHORS,
    **WRITTEN,
    **UNMEASURED,
    "model.roi_head.sampling.per_image": 64,  # FRCN 2.3: 128 of two images
    "model.roi_head.sampling.background_iou": [0.1, 0.5],  # FRCN 2.3
    "schedule.batch_size": 1,  # Ren 2015, 3.1.3
    "schedule.fast_rcnn_length": 0.5,  # py: 40k, the rate drops at 30k
    "schedule.rules.iterations": 80_000,  # Ren 2015, 3.1.3
    "schedule.learning_rate.reference_batch": 1,
    "schedule.learning_rate.batch_size": 1,
    "schedule.learning_rate.milestones": [60_000],  # Ren 2015, 3.1.3
    "schedule.optimizer.weight_decay": 0.0005,  # Ren 2015, 3.1.3
}
OF_07_12 = {  # FRCN 4.4
    "data.train_split": ["VOC2007/trainval", "VOC2012/trainval"],
    "data.val_split": "VOC2007/test",
}
OF_07PP12 = {  # FRCN 4.4; the test set's annotations are the server's
    "data.train_split": ["VOC2007/trainval", "VOC2007/test", "VOC2012/trainval"],
    "data.val_split": "VOC2012/val",
}
COCO = {  # He 2015, A
    **WRITTEN,
    **UNMEASURED,
    "data.train_split": "train2014",
    "data.val_split": "val2014",
    "data.invalid_boxes": "repair",
}
TRAINVAL = {"data.train_split": ["train2014", "val2014"]}  # He 2015, B
REFINE = {  # He 2015, B
    "inference.refinement.passes": 1,
    "inference.post_processing.voting_iou": 0.5,  # Gidaris & Komodakis 2015, 5
}
CONTEXT = {"model.context": True}  # He 2015, B
MULTI_SCALE = {"inference.multi_scale.shorter_sides": [200, 400, 600, 800, 1000]}  # He 2015, B
EVERYTHING = REFINE | CONTEXT | MULTI_SCALE
OF_COCOS = {"model.rpn.anchors.sizes": [64, 128, 256, 512]}  # the detector that is fine-tuned

# ---- detectron2's and MoCo's -------------------------------------------------------------------

MODERN_C4 = {  # d2, Base-RCNN-C4.yaml and defaults.py
    "model.backbone.depth": 50,
    "model.pixels.mean": [103.53, 116.28, 123.675],
    "model.rpn.hidden_channels": 1024,  # CONV_DIMS [-1]: res4's
    "model.rpn.sigma": INF,  # SMOOTH_L1_BETA 0
    "model.rpn.anchors.sizes": [32, 64, 128, 256, 512],
    "model.rpn.anchors.centre": 0.0,  # OFFSET
    "model.rpn.anchors.rounded": False,
    "model.rpn.sampling.cross_boundary": True,  # BOUNDARY_THRESH -1
    "model.rpn.sampling.ignore_coverage": INF,
    "model.rpn.sampling.divide_by": "per_image",
    "model.rpn.test_proposals.after_nms": 1000,
    "model.roi_head.pooling": "roi_align",
    "model.roi_head.sigma": INF,
    "model.roi_head.sampling.per_image": 512,
    "model.roi_head.sampling.ignore_coverage": INF,
    "model.roi_head.sampling.divide_by": "batch",
    "data.invalid_boxes": "repair",
    "data.shorter_sides": [640, 672, 704, 736, 768, 800],
    "data.test_shorter_side": 800,
    "data.longest": 1333,
    "data.train_on_empty": False,  # FILTER_EMPTY_ANNOTATIONS
    "data.ignore_difficult": False,
    "schedule.optimizer.bias_rate_factor": 1.0,
    "schedule.optimizer.bias_weight_decay": 0.0001,
    "schedule.batch_size": 16,
    "schedule.fast_rcnn_batch": 1,
    "schedule.rules.iterations": 90_000,
    "schedule.learning_rate.reference": 0.02,
    "schedule.learning_rate.reference_batch": 16,
    "schedule.learning_rate.batch_size": 16,
    "schedule.learning_rate.warmup_iterations": 1000,
    "schedule.learning_rate.warmup_factor": 0.001,
    "schedule.learning_rate.milestones": [60_000, 80_000],
    "inference.post_processing.nms_iou": 0.5,
}
MODERN_C4_R101 = MODERN_C4 | {  # d2, faster_rcnn_R_101_C4_3x.yaml
    "model.backbone.depth": 101,
    "schedule.rules.iterations": 270_000,
    "schedule.learning_rate.milestones": [210_000, 250_000],
}
MODERN_C4_VOC = MODERN_C4 | OF_07_12 | {  # d2, PascalVOC-Detection/faster_rcnn_R_50_C4.yaml
    "data.invalid_boxes": "error",
    "data.shorter_sides": [480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800],
    "schedule.rules.iterations": 18_000,
    "schedule.learning_rate.warmup_iterations": 100,
    "schedule.learning_rate.milestones": [12_000, 16_000],
}  # fmt: skip
MOCO_VOC = MODERN_C4_VOC | {  # MoCo, detection/configs: pascal_voc_R_50_C4_24k_moco.yaml
    "model.pixels.order": "RGB",
    "model.pixels.mean": [123.675, 116.28, 103.53],
    "model.pixels.std": [58.395, 57.12, 57.375],
    "model.backbone.stride_in_1x1": False,
    "model.backbone.bin_step": 1,
    "model.backbone.norm": "trained_extra",  # SyncBN, Res5ROIHeadsExtraNorm
    "model.backbone.frozen_stages": [],  # FREEZE_AT 0
    "schedule.precise_bn": 200,  # TEST.PRECISE_BN.NUM_ITER
    "schedule.rules.iterations": 24_000,
    "schedule.learning_rate.milestones": [18_000, 22_000],
}

DETECTORS: dict[str, Values] = {
    "table7_voc07_vgg16": WITH_VGG16 | VOC | OF_07_12,
    "table7_voc07_resnet101": VOC | OF_07_12,
    "table7_voc12_vgg16": WITH_VGG16 | VOC | OF_07PP12,
    "table7_voc12_resnet101": VOC | OF_07PP12,
    "table8_coco_vgg16": WITH_VGG16 | COCO,
    "table8_coco_resnet101": COCO,
    "table9_refine": COCO | REFINE,
    "table9_context": COCO | REFINE | CONTEXT,
    "table9_multi_scale": COCO | EVERYTHING,
    "table9_ensemble": COCO | EVERYTHING | TRAINVAL,
    "table10_voc07_plus": VOC | OF_07_12 | EVERYTHING | OF_COCOS,
    "table11_voc12_plus": VOC | OF_07PP12 | EVERYTHING | OF_COCOS,
    "table12_det": {
        **WRITTEN, **UNMEASURED, **EVERYTHING,
        "data.train_split": ["train", "val1"], "data.val_split": "val2",  # He 2015, B
    },
    "modern_c4": MODERN_C4,
    "modern_c4_r101": MODERN_C4_R101,
    "modern_c4_voc": MODERN_C4_VOC,
    "moco_voc": MOCO_VOC,
}  # fmt: skip

# ---- Classifiers -------------------------------------------------------------------------------

IMAGENET = {
    "model._target_": "detection.classification.classifier.Classifier",
    "model.num_classes": None,
    "model.backbone._target_": "detection.model.resnet.ResNet",
    "model.backbone.depth": 50,
    "model.backbone.shortcut": "B",  # He 2015, 4.1: for all but tables 2 and 3
    "model.backbone.stride_in_1x1": True,  # He 2015, table 1: conv3_1 ... of stride 2; MSRA's
    "model.backbone.norm": "trained",
    "model.backbone.frozen_stages": [],
    "model.backbone.bin_step": 1,
    "model.pixels._target_": "detection.model.pixels.PerPixelMean",  # He 2015, 3.4
    "model.pixels.side": 224,
    "data.root": "x",
    "data.train_split": "train",
    "data.val_split": "val",
    "data.in_memory": False,
    "data.held_out": None,
    "data.train_images": None,
    "data.val_images": None,
    "data.crop._target_": "detection.classification.crops.ScaleCrop",
    "data.crop.side": 224,  # He 2015, 3.4
    "data.crop.shorter_sides": [256, 480],  # He 2015, 3.4
    "data.crop.flip_probability": 0.5,  # He 2015, 3.4
    "data.crop.colour_std": 0.1,  # Krizhevsky et al. 2012, 4.1
    "data.views._target_": "detection.classification.crops.CentreCrop",
    "data.views.side": 224,
    "data.views.shorter_side": 256,
    "data.mean_over": 20_000,
    "data.test_batch_size": 64,
    **RULES,
    "schedule.optimizer._target_": "detection.engine.optimizers.sgd",
    "schedule.optimizer._partial_": True,
    "schedule.optimizer.momentum": 0.9,  # He 2015, 3.4
    "schedule.optimizer.weight_decay": 0.0001,  # He 2015, 3.4
    "schedule.optimizer.bias_rate_factor": 1.0,
    "schedule.optimizer.bias_weight_decay": 0.0001,
    "schedule.optimizer.norm_weight_decay": 0.0001,
    "schedule.batch_size": 256,  # He 2015, 3.4
    "schedule.rules.iterations": 600_000,  # He 2015, 3.4: 60 x 10^4
    "schedule.rules.log_every": 100,
    "schedule.rules.evaluate_every": 5_000,
    "schedule.rules.checkpoint_every": 1_000,
    "schedule.learning_rate._target_": "detection.engine.schedules.DivideOnPlateau",
    "schedule.learning_rate.reference": 0.1,  # He 2015, 3.4
    "schedule.learning_rate.reference_batch": 256,
    "schedule.learning_rate.batch_size": 256,
    "schedule.learning_rate.warmup_iterations": 0,
    "schedule.learning_rate.warmup_factor": 0.1,
    "schedule.learning_rate.decay": 0.1,  # He 2015, 3.4: divided by 10
    "schedule.learning_rate.patience": 6,
    "schedule.learning_rate.improvement": 0.001,
}
LEFT_OUT = dict.fromkeys(
    [
        *("model.backbone.stride_in_1x1", "model.backbone.frozen_stages"),
        *("model.backbone.bin_step", "data.crop.shorter_sides", "data.crop.colour_std"),
        *("schedule.learning_rate.patience", "schedule.learning_rate.improvement"),
    ]
)
CIFAR = IMAGENET | LEFT_OUT | RATE | {  # He 2015, 4.2
    "model.backbone._target_": "detection.classification.cifar.CifarResNet",
    "model.backbone.depth": 20,
    "model.backbone.widths": [16, 32, 64],
    "model.backbone.shortcut": "A",
    "model.pixels.side": 32,
    "data.val_split": "test",
    "data.in_memory": True,
    "data.crop._target_": "detection.classification.crops.PaddedCrop",
    "data.crop.side": 32,
    "data.crop.padding": 4,
    "data.crop.fill": [114, 123, 125],  # 255 * (0.4465, 0.4822, 0.4914), CIFAR-10's mean in BGR
    "data.views.side": 32,
    "data.views.shorter_side": 32,
    "data.mean_over": None,
    "data.test_batch_size": 250,
    "schedule.batch_size": 128,
    "schedule.rules.iterations": 64_000,
    "schedule.rules.evaluate_every": 1_000,
    "schedule.learning_rate.reference_batch": 128,
    "schedule.learning_rate.batch_size": 128,
    "schedule.learning_rate.milestones": [32_000, 48_000],
}  # fmt: skip
CLASSIFIERS: dict[str, Values] = {
    "imagenet": IMAGENET,
    "cifar": CIFAR,
    "cifar_110": CIFAR | {
        "model.backbone.depth": 110,
        "schedule.learning_rate._target_": "detection.engine.schedules.ConstantWarmUp",
        "schedule.learning_rate.warmup_iterations": 400,  # at 0.01, He 2015, 4.2
    },
    "cifar_1202": CIFAR | {"model.backbone.depth": 1202},
    "figure4_plain18": IMAGENET | {"model.backbone.depth": 18, "model.backbone.shortcut": "none"},
    "figure4_plain34": IMAGENET | {"model.backbone.depth": 34, "model.backbone.shortcut": "none"},
    "figure4_resnet18": IMAGENET | {"model.backbone.depth": 18, "model.backbone.shortcut": "A"},
    "table3_resnet34_a": IMAGENET | {"model.backbone.depth": 34, "model.backbone.shortcut": "A"},
    "table3_resnet34_b": IMAGENET | {"model.backbone.depth": 34, "model.backbone.shortcut": "B"},
    "table3_resnet34_c": IMAGENET | {"model.backbone.depth": 34, "model.backbone.shortcut": "C"},
}  # fmt: skip
LOCALIZER = {
    **{key: value for key, value in IMAGENET.items() if key.startswith("model.pixels.")},
    **{
        key: value
        for key, value in IMAGENET.items()
        if key.startswith(("data.crop.", "data.views."))
    },
    **{key: value for key, value in IMAGENET.items() if key.startswith("schedule.optimizer.")},
    **RULES,
    **RATE,
    "model._target_": "detection.localization.localizer.Localizer",
    "model.num_classes": None,
    "model.backbone._target_": "detection.model.resnet.ResNet",
    "model.backbone.depth": 101,  # He 2015, table 13
    "model.backbone.shortcut": "B",
    "model.backbone.stride_in_1x1": True,
    "model.backbone.norm": "frozen",
    "model.backbone.frozen_stages": [],
    "model.backbone.bin_step": 1,
    "model.head._target_": "detection.model.per_class_rpn.PerClassRPN",
    "model.head._partial_": True,
    "model.head.hidden_channels": 512,  # Ren 2015, 3.1
    "model.head.sigma": 3.0,  # py, rpn_loss_bbox
    "model.head.init_std": 0.01,  # Ren 2015, 3.1.3
    "model.head.anchors._target_": "detection.model.anchors.Anchors",
    "model.head.anchors.sizes": [64, 128, 256, 512],
    "model.head.anchors.aspect_ratios": [0.5, 1.0, 2.0],  # Ren 2015, 3.1.3
    "model.head.anchors.stride": 32,  # conv5's
    "model.head.anchors.centre": 16.0,
    "model.head.anchors.rounded": False,
    "model.head.sampling._target_": "detection.model.targets.AnchorSampling",
    "model.head.sampling.per_image": 8,  # He 2015, C
    "model.head.sampling.positive_fraction": 0.5,  # He 2015, C: 1:1
    "model.head.sampling.positive_iou": 0.7,  # Ren 2015, 3.1.2
    "model.head.sampling.negative_iou": 0.3,  # Ren 2015, 3.1.2
    "model.head.sampling.cross_boundary": True,
    "model.head.sampling.ignore_coverage": 0.7,
    "model.head.sampling.divide_by": "sampled",
    "data.root": "x",
    "data.train_split": "train",
    "data.val_split": "val",
    "data.classes": None,
    "data.allow_outside": False,
    "data.invalid_boxes": "repair",
    "data.train_images": None,
    "data.val_images": None,
    "data.min_visible": 0.25,
    "data.test_batch_size": 64,
    "schedule.batch_size": 256,  # He 2015, C
    "schedule.rules.iterations": 60_000,
    "schedule.rules.log_every": 100,
    "schedule.rules.evaluate_every": 5_000,
    "schedule.rules.checkpoint_every": 1_000,
    "schedule.learning_rate.reference": 0.01,
    "schedule.learning_rate.reference_batch": 256,
    "schedule.learning_rate.batch_size": 256,
    "schedule.learning_rate.warmup_iterations": 500,
    "schedule.learning_rate.milestones": [40_000],
    "choice._target_": "detection.localization.choice.BoxChoice",
    "choice.candidates": 200,  # He 2015, C: the best 200 are what R-CNN gets
    "choice.voting_iou": None,
}
VIEWS: dict[str, Values] = {
    "centre": {"_target_": "CentreCrop", "side": 224, "shorter_side": 256},
    "ten_crop": {"_target_": "TenCrop", "side": 224, "shorter_side": 256},  # He 2015, 3.4
    "multi_scale": {  # He 2015, 3.4
        "_target_": "FullyConvolutionalViews",
        "shorter_sides": [224, 256, 384, 480, 640],
    },
}
# Choices that no table's preset uses.
NETWORKS: dict[str, Values] = {
    "vgg16": {"_target_": "detection.model.vgg.VGG16", "frozen_stages": [], "dropout": 0.5,
              "pooled_size": 7},
    "vgg19": {"_target_": "detection.model.vgg.VGG19", "frozen_stages": [], "dropout": 0.5,
              "pooled_size": 7},
}  # fmt: skip
STEPS: dict[str, Values] = {
    "single": {},
    "refine": {"inference.refinement.passes": 1},
    "refine_vote": REFINE,
    "multi_scale": MULTI_SCALE,
    "paper": REFINE | MULTI_SCALE,
    "full": REFINE | MULTI_SCALE | {"inference.flip": True},
    "modern_c4": {"inference.post_processing.nms_iou": 0.5},
}


def flat(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{path}{key}.")
        else:
            yield path + key, value


def values(name: str, *overrides: str) -> Values:
    """Of the parts that make a preset; what a run is asked for beside it is left out."""
    config = as_plain(compose_config(name, ["data.root=x", *overrides]))
    parts = ("model", "data", "schedule", "inference", "choice")
    return dict(flat({part: config[part] for part in parts if part in config}))


def without_none(expected: Values, found: Values) -> Values:
    """``expected`` without the keys that it takes away."""
    return {key: value for key, value in expected.items() if value is not None or key in found}


def check(found: Values, expected: Values) -> None:
    assert found == without_none(expected, found)


def test_paper2015() -> None:
    check(values("train", "schedule=paper2015"), PAPER2015)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detectors_preset(name: str) -> None:
    check(values("alternating", f"experiment={name}"), PAPER2015 | DETECTORS[name])


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifiers_preset(name: str) -> None:
    check(values("classifier", f"experiment=classification/{name}"), CLASSIFIERS[name])


def test_the_localisers_preset() -> None:
    check(values("localizer", "experiment=localization/imagenet"), LOCALIZER)


def test_the_classifier_is_imagenets_but_for_the_detectors_pixels() -> None:
    of_pixels = {"model.pixels.side": None} | CAFFE_PIXELS
    check(values("classifier"), IMAGENET | of_pixels)


@pytest.mark.parametrize("name", VIEWS)
def test_the_views(name: str) -> None:
    found = as_plain(
        compose_config("test_classifier", [f"views={name}", "data.root=x", "checkpoint=x"]).views
    )
    target = f"detection.classification.crops.{VIEWS[name]['_target_']}"
    assert found == VIEWS[name] | {"_target_": target}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_of_classifiers(name: str) -> None:
    assert as_plain(compose_config("classifier", [f"network={name}", "data.root=x"]).model
                    )["backbone"] == NETWORKS[name]  # fmt: skip


@pytest.mark.parametrize("name", STEPS)
def test_the_steps_of_inference(name: str) -> None:
    check(values("train", "schedule=paper2015", f"inference={name}"), PAPER2015 | STEPS[name])


def test_torchvisions_vgg16_has_its_own_pixels() -> None:
    pixels = {key: value for key, value in MOCO_VOC.items() if key.startswith("model.pixels.")}
    found = values("train", "schedule=paper2015", "model=vgg16", "model/pixels=torchvision")
    check(found, PAPER2015 | WITH_VGG16 | pixels)


@pytest.mark.parametrize("name", ["table10_voc07_plus", "table11_voc12_plus"])
def test_what_is_fine_tuned_was_trained_on_trainval(name: str) -> None:
    # He 2015, B: "Based on the above single model (55.7% mAP@.5 in Table 9)", on test-dev.
    text = (CONFIGS / "experiment" / f"{name}.yaml").read_text()
    (started_from,) = re.findall(r"init=\S+ +\(of experiment=(\w+)\)", text)
    assert values("train", f"experiment={started_from}").items() >= TRAINVAL.items()


def test_every_table_and_view_is_held_here() -> None:
    presets = {path.stem for path in (CONFIGS / "experiment").glob("*.yaml")}
    of_papers = {name for name in presets if name.startswith(("table", "modern_c4", "moco"))}
    assert of_papers == set(DETECTORS)
    assert {path.stem for path in (CONFIGS / "views").glob("*.yaml")} == set(VIEWS)
    assert {path.stem for path in (CONFIGS / "inference").glob("*.yaml")} == set(STEPS)
