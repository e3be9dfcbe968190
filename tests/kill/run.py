"""Trainings that are killed and resumed: python tests/kill/run.py --kills 50 --seed 0

Each command trains a tiny network once in peace.  Then it is started, ended by SIGKILL and resumed,
up to three times, until it comes to its end, which must be that of the run in peace: weights bit
for bit, every row of the log once, metrics.json.  A third of the kills comes at a random moment,
the others at a random one of the calls that write: at its begin, its end, or within.

A run is a process of its own that runs the command; it is forked from one that has imported torch.
Ends with 1 if something is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import cv2
import torch

import detection.engine.log
import detection.torch_file
from detection.cli.commands import COMMANDS
from detection.cli.launch import launch
from detection.shapes.dataset import generate
from tests.bright_and_dark import write_bright_and_dark

_RUNTIME = ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
_DETECTOR = [
    *_RUNTIME, "data.shorter_sides=[64]", "model.roi_head.sampling.per_image=4",
    "model.roi_head.sampling.foreground_fraction=0.5",
    "inference=single", "model.rpn.sampling.cross_boundary=true",
    "schedule.learning_rate.warmup_iterations=0", "schedule.rules.log_every=1",
    "schedule.batch_size=2",
]  # fmt: skip
# Command, its overrides, and the data that it needs.
TRAININGS: dict[str, tuple[str, list[str], str]] = {
    "train_net": ("train", [
        *_DETECTOR, "experiment=demo", "schedule.rules.iterations=4",
        "schedule.rules.checkpoint_every=1", "schedule.rules.evaluate_every=2",
    ], "shapes"),
    "train_alternating": ("train-alternating", [
        *_DETECTOR, "experiment=demo_alternating", "schedule.rules.iterations=2",
        "schedule.rules.checkpoint_every=1",
    ], "shapes"),
    "train_classifier": ("train-classifier", [
        *_RUNTIME, "experiment=classification/cifar", "model.backbone.depth=8",
        "model.backbone.widths=[4,4,8]", "schedule.batch_size=8",
        "schedule.learning_rate.reference_batch=8", "schedule.rules.log_every=1",
        "schedule.rules.iterations=6", "schedule.rules.evaluate_every=3",
        "schedule.rules.checkpoint_every=1",
    ], "classes"),
}  # fmt: skip
# The calls that write: checkpoints, the log's lines, and every file that is written whole.
_WRITES: list[tuple[Any, str]] = [
    (detection.torch_file, "save"),
    (detection.engine.log, "append_line"),
    (detection.engine.log, "write_text"),
    (os, "replace"),
    (os, "fsync"),
]
# What a row of a log says of the time and the machine.
_CLOCK = ("second", "time", "memory", "data", "images_per", "wait", "eta")
_MOST_KILLS = 3  # of one training


@dataclass
class Report:
    kills: int = 0
    trainings: int = 0
    at: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Kill:
    """SIGKILL to this process at call ``number`` of those that write, in one of three ways.

    ``number``: 0 for never.  ``note``: where it came, or how many such calls there were.
    """

    def __init__(self, number: int, note: Path, way: str = "", delay: float = 0) -> None:
        self._number, self._way, self._delay, self._note = number, way, delay, note
        self._calls = 0
        for module, name in _WRITES:
            setattr(module, name, self._counted(getattr(module, name), name))

    def _counted(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def counted(*arguments: Any, **settings: Any) -> Any:
            self._calls += 1
            if self._calls != self._number:
                return call(*arguments, **settings)
            self._note.write_text(f"{self._way} {name}")
            if self._way == "before":
                _kill()
            if self._way == "within":
                threading.Timer(self._delay, _kill).start()
            result = call(*arguments, **settings)
            if self._way == "behind":
                _kill()
            return result

        return counted

    def tell(self) -> None:
        self._note.write_text(str(self._calls))


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def start(command: str, words: list[str], said: Path, **at: Any) -> int:
    """The process id of the command's run, forked."""
    process = os.fork()
    if process:
        return process
    status = 1
    with contextlib.suppress(BaseException):
        out = os.open(said, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        torch.manual_seed(time.time_ns() % 1000)  # as a new process: nothing is left of the last
        kill = Kill(**at) if at else None
        try:
            launch(COMMANDS[command], [command, *words])
            status = 0
            if kill is not None:
                kill.tell()
        except SystemExit as end:
            sys.stderr.write(f"{end.code}\n")
        except BaseException:
            traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def ended(process: int) -> int:
    """0: well; -9: killed."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def resumes(folder: Path) -> list[str]:
    """What a user adds who finds the run in ``folder`` ended."""
    return ["resume=true"] if any(folder.rglob("*.*")) else []


def examine(name: str, kills: int, rng: random.Random, work: Path, data: Path) -> Report:
    """``kills``: that many, in as many trainings as it takes."""
    command, overrides, _ = TRAININGS[name]
    report = Report()
    whole = work / "whole"
    words = [*overrides, f"data.root={data}"]
    began = time.monotonic()
    said, note = work / "whole.txt", work / "note"
    if ended(start(command, [*words, f"output_dir={whole}"], said, number=0, note=note)):
        raise RuntimeError(said.read_text()[-2000:])
    seconds = time.monotonic() - began
    writes = int(note.read_text())
    while report.kills < kills:
        report.trainings += 1
        folder, said = work / f"run{report.trainings}", work / f"run{report.trainings}.txt"
        arguments = [*words, f"output_dir={folder}"]
        for _ in range(min(rng.randint(1, _MOST_KILLS), kills - report.kills)):
            note.unlink(missing_ok=True)
            more = resumes(folder)
            if rng.random() < 1 / 3:
                process = start(command, [*arguments, *more], said)
                time.sleep(rng.uniform(0, seconds))
                os.kill(process, signal.SIGKILL)
                at = "any moment"
            else:
                moment: dict[str, Any] = {
                    # A run that goes on has fewer left, and the log's rewrite is among the first.
                    "number": rng.randint(1, rng.choice((6, writes) if more else (writes,))),
                    "way": rng.choice(("before", "within", "behind")),
                    "delay": rng.uniform(0, 0.02),
                    "note": note,
                }
                process = start(command, [*arguments, *more], said, **moment)
                at = ""
            status = ended(process)
            if status == -signal.SIGKILL:
                report.kills += 1
                report.at[at or note.read_text()] += 1
            elif status:
                report.wrong.append(f"{folder.name}: ended with {status}: {_last(said)}")
        status = ended(start(command, [*arguments, *resumes(folder)], said))
        if status:
            report.wrong.append(f"{folder.name}: ended with {status}: {_last(said)}")
        else:
            report.wrong += [f"{folder.name}: {line}" for line in differences(whole, folder)]
        if not report.wrong:
            shutil.rmtree(folder)
    return report


def differences(whole: Path, folder: Path) -> list[str]:
    """What of the run in ``folder`` is not that of the run in ``whole``."""
    found = []
    for path in sorted(whole.rglob("*")):
        name, other = path.relative_to(whole), folder / path.relative_to(whole)
        if path.suffix in (".pt", ".jsonl", ".json", ".yaml", ".safetensors"):
            if not other.is_file():
                found.append(f"{name} is not there")
            elif path.suffix == ".pt":
                one, two = (torch.load(p, weights_only=True) for p in (path, other))
                if not same(one["weights"], two["weights"]):
                    found.append(f"{name}: other weights")
                if not same(one["training"].get("optimizer"), two["training"].get("optimizer")):
                    found.append(f"{name}: the optimizer remembers something else")
            elif path.name == "log.jsonl":
                rows = [[_timeless(line) for line in p.open()] for p in (path, other)]
                if rows[0] != rows[1]:
                    kinds = [[(r["iteration"], r["kind"]) for r in of] for of in rows]
                    what = "values" if kinds[0] == kinds[1] else f"rows {kinds[1]}"
                    found.append(f"{name}: other {what}")
    found += [f"{path.relative_to(folder)} is left" for path in folder.rglob("*.partial")]
    return found


def _timeless(line: str) -> dict[str, Any]:
    return {k: v for k, v in json.loads(line).items() if not any(word in k for word in _CLOCK)}


def same(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(two, torch.Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(value, two[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two)


def _last(said: Path) -> str:
    return (said.read_text().strip().splitlines() or [""])[-1][:300]


def make_data(kind: str, root: Path) -> Path:
    if kind == "shapes":
        return generate(root=root, splits={"train": 6, "val": 2}, seed=3, image_side=128)
    return write_bright_and_dark(root)


def run(name: str, kills: int, seed: int) -> Report:
    """One of the TRAININGS, killed ``kills`` times."""
    # Once, before anything is forked: what a run imports takes longer than it trains.
    modules = ("matplotlib.pyplot", "torch.utils.tensorboard", "torch._inductor", "simplejpeg")
    for module in (*modules, COMMANDS[TRAININGS[name][0]].module):
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    torch.set_num_threads(1)  # threads do not outlive a fork
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = make_data(TRAININGS[name][2], work / "data")
        return examine(name, kills, random.Random(f"{name}-{seed}"), work, data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=TRAININGS)
    given = parser.parse_args()
    wrong = 0
    for name in [given.only] if given.only else TRAININGS:
        began = time.monotonic()
        report = run(name, given.kills, given.seed)
        places = ", ".join(f"{count} {at}" for at, count in sorted(report.at.items()))
        told = (
            f"{name}: {report.kills} kills in {report.trainings} trainings ({places}), "
            f"{len(report.wrong)} wrong, {time.monotonic() - began:.0f} s"
        )
        sys.stdout.write("\n  ".join([told, *report.wrong]) + "\n")
        sys.stdout.flush()
        wrong += len(report.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
