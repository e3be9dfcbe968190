"""Writes the RPN's proposals in a data set to a file, and says how many objects they find.

python tools/propose.py checkpoint=outputs/rpn/best.pt data.root=/path/to/dataset split=train \\
    output=outputs/rpn/train.safetensors

The file is what train_net.py train_only=fast_rcnn proposals=... learns from.
"""

from __future__ import annotations

import logging
from pathlib import Path

from omegaconf import DictConfig

from detection.cli.data_sets import open_split
from detection.cli.output_file import output_file
from detection.data.proposals_file import ProposalsFile, is_proposals_file
from detection.data.report import report
from detection.engine.distributed import Processes
from detection.engine.propose import measure_file, write_proposals
from detection.engine.runtime import set_up_runtime
from detection.evaluation.table import recall_line
from detection.inference.detector import Detector

log = logging.getLogger("propose")


def main(config: DictConfig) -> None:
    path = output_file(config, [Path(config.checkpoint)])
    if path.exists() and not is_proposals_file(path):
        raise ValueError(f"{path} holds no proposals, and stays: choose another output")
    runtime = set_up_runtime(**config.runtime)
    dataset = open_split(config.data, config.split)
    log.info("%s", report(dataset))
    detector = Detector.load(
        Path(config.checkpoint),
        device=runtime.device,
        precision=runtime.precision,
        winograd=runtime.winograd,
        regions_at_once=runtime.regions_at_once,
        networks=["rpn"],
        trust=list(config.trust),
    )
    write_proposals(
        path,
        detector,
        dataset,
        batch_size=config.batch_size,
        workers=runtime.workers,
        processes=Processes(0, 1, 0),
    )
    if dataset.annotated:
        log.info("\n%s", recall_line(measure_file(ProposalsFile(path, dataset), dataset)))
    log.info("proposals: %s", path)
