"""How good detections are: the metrics of COCO and VOC, from the same two inputs.

:mod:`detection.evaluation.coco_arrays` says what those inputs are.
"""
