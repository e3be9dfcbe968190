"""4-step alternating training (Ren et al. 2015, section 3.2), with the proposals between the steps.

1. The RPN, from the first weights; its proposals.
2. Fast R-CNN, from the first weights again, on those proposals.
3. The RPN again, on the shared layers of step 2, which stay fixed; its proposals.
4. Fast R-CNN again, on the same fixed layers and the new proposals.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from detection.atomic_write import atomic_write
from detection.checkpoint import Checkpoint
from detection.engine.checkpoints import BEST, LAST
from detection.engine.distributed import Processes
from detection.engine.output_folder import OutputFolder
from detection.engine.report_file import REPORT
from detection.engine.training_run import METRICS

log = logging.getLogger("train")

Network = Literal["rpn", "fast_rcnn"]
Split = Literal["train", "val"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The training of one of the two networks.

    ``init``: the detector that it starts from, whose shared layers stay fixed; None: the first
    weights.  ``proposals``, ``val_proposals``: the files that Fast R-CNN learns on and is
    validated on; without the latter the detector's own RPN proposes.
    ``writes``: the files of proposals that the step leaves.
    """

    folder: Path
    network: Network
    init: Path | None
    proposals: Path | None
    val_proposals: Path | None
    writes: dict[Split, Path]

    @property
    def last(self) -> Path:
        return self.folder / LAST

    def state(self, iterations: int) -> Literal["to_train", "to_validate", "finished"]:
        """What is left to do until it has been trained for so long, and validated."""
        training = Checkpoint.load(self.last).training if self.last.is_file() else {}
        if training.get("iteration", 0) < iterations:
            return "to_train"
        is_measured = training.get("measured", True) and (self.folder / METRICS).is_file()
        return "finished" if is_measured else "to_validate"


def four_steps(folder: Path) -> tuple[Step, ...]:
    """The steps, each in a folder of its own inside ``folder``."""
    names = ("1_rpn", "2_fast_rcnn", "3_rpn", "4_fast_rcnn")
    first, second, third, fourth = (folder / name for name in names)
    train, val = "train_proposals.safetensors", "val_proposals.safetensors"
    return (
        Step(
            folder=first,
            network="rpn",
            init=None,
            proposals=None,
            val_proposals=None,
            writes={"train": first / train, "val": first / val},
        ),
        Step(
            folder=second,
            network="fast_rcnn",
            init=None,
            proposals=first / train,
            val_proposals=first / val,
            writes={},
        ),
        Step(
            folder=third,
            network="rpn",
            init=second / LAST,
            proposals=None,
            val_proposals=None,
            writes={"train": third / train},
        ),
        Step(
            folder=fourth,
            network="fast_rcnn",
            init=third / LAST,
            proposals=third / train,
            val_proposals=None,
            writes={},
        ),
    )


@dataclass(frozen=True, kw_only=True)
class AlternatingTraining:
    """The four steps in ``folder``, and the detector of the last one as ``folder``/best.pt.

    ``iterations``: of a step.
    ``train``: trains a step, or goes on with it where it has a last.pt.
    ``propose``: writes a step's proposals in a split to a file.
    """

    folder: Path
    resume: bool
    iterations: Callable[[Step], int]
    train: Callable[[Step], None]
    propose: Callable[[Step, Split, Path], None]
    processes: Processes
    overwrite: bool = False
    reads: Sequence[Path] = ()

    def run(self) -> None:
        """Does what is left to do.  Raises ValueError or FileNotFoundError for a folder unfit."""
        steps = four_steps(self.folder)
        first = steps[0].folder
        if self.resume and not self.folder.exists():
            raise FileNotFoundError(f"{first}: nothing to resume; leave out resume=true")
        with self._output_folder(steps).taken(
            resume=self.resume, overwrite=self.overwrite, processes=self.processes
        ) as begun:
            if self.resume and not begun and not first.exists():
                raise FileNotFoundError(f"{first}: nothing to resume; leave out resume=true")
            self.processes.wait()
            self._take_all(steps)

    def _output_folder(self, steps: Sequence[Step]) -> OutputFolder:
        names = {path.name for step in steps for path in step.writes.values()}
        stems = sorted(Path(name).stem for name in names)
        return OutputFolder(
            path=self.folder,
            command="train_alternating",
            files=(BEST, METRICS, REPORT),
            # The proposals, and the shards that an interrupted call has left of them.
            patterns=tuple(f"{s.folder.name}/{stem}*.safetensors" for s in steps for stem in stems),
            runs=tuple(step.folder.name for step in steps),
            reads=self.reads,
        )

    def _take_all(self, steps: Sequence[Step]) -> None:
        for number, step in enumerate(steps, start=1):
            log.info("step %d of %d: %s", number, len(steps), step.folder)
            self._take(step, later=steps[number:])
        if self.processes.is_first:
            self._keep_result(steps[-1])

    def _take(self, step: Step, *, later: Sequence[Step]) -> None:
        """Trains what is left of a step, and writes the proposals that are missing.

        Raises ValueError if something is left although a ``later`` step was built on it.
        """
        built_on_it = [other.folder for other in later if other.last.is_file()]
        iterations = self.iterations(step)
        state = step.state(iterations)
        if state == "finished" or (state == "to_validate" and built_on_it):
            log.info("trained already")
        else:
            if built_on_it:
                raise ValueError(
                    f"{step.folder} is to be trained up to iteration {iterations:,}, and "
                    f"{built_on_it[0]} has been trained on what it was before: go on with as many "
                    "schedule.rules.iterations as at first, or choose another output_dir"
                )
            self.processes.wait()  # all have looked at the folders before anybody trains
            for path in step.writes.values():
                path.unlink(missing_ok=True)  # proposals of the step as it was before
            self.train(step)
        self.processes.wait()  # last.pt is written
        for split, path in step.writes.items():
            if not path.is_file():
                self.propose(step, split, path)

    def _keep_result(self, step: Step) -> None:
        """The last step's detector and metrics, where joint training would leave them."""
        best = step.folder / BEST
        # A run that was killed during its last validation has no best.pt: its last.pt is as good.
        _copy(best if best.is_file() else step.last, self.folder / BEST)
        for name in (METRICS, REPORT):
            if (step.folder / name).is_file():
                _copy(step.folder / name, self.folder / name)
        log.info("detector: %s", self.folder / BEST)


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as partial:
        shutil.copy(source, partial)
