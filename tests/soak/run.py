"""Memory over a long run: python tests/soak/run.py --steps 2000 --pictures 5000 --side 10000

Trains a tiny detector with two workers, detects in many small pictures with drawing on, and in one
large picture, each as a process of its own; measures the memory of the process and of its workers
while it runs.  What grows by more than 2 % between the second quarter of a run and its
last one is a leak: it ends with 1 then.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from detection.shapes.dataset import generate

MOST_GROWTH = 0.02
_TRAINING = [
    "experiment=demo", "data.shorter_sides=[64]", "model.roi_head.sampling.per_image=4",
    "model.roi_head.sampling.foreground_fraction=0.5",
    "inference=single", "model.rpn.sampling.cross_boundary=true", "schedule.batch_size=2",
    "schedule.learning_rate.warmup_iterations=0", "runtime.device=cpu", "runtime.workers=2",
    "model.rpn.training_proposals.before_nms=200", "model.rpn.training_proposals.after_nms=50",
]  # fmt: skip

Samples = list[tuple[int, float]]  # (how much is done, MB)


def watch(
    command: list[str], progress: Path, *, module: tuple[str, ...] = ("-m", "detection")
) -> tuple[Samples, float]:
    """Runs a command of the package; its memory at each line of ``progress``, and its peak, MB."""
    program = [sys.executable, *module, *command]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        program, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    samples: Samples = []
    peak, said = 0.0, b""
    while process.poll() is None:
        began = time.monotonic()
        now = sum(map(_own_memory, [process.pid, *_children(process.pid)]))
        peak = max(peak, now)
        done = progress.read_bytes().count(b"\n") if progress.is_file() else 0
        if done and (not samples or done > samples[-1][0]):
            samples.append((done, now))
        said = (said + (process.stderr.read() or b""))[-2000:]
        # To count the pages of a large process stops it for a while.
        time.sleep(max(0.2, 10 * (time.monotonic() - began)))
    if process.returncode:
        raise RuntimeError((said + (process.stderr.read() or b"")).decode())
    return samples, peak


def _own_memory(process: int) -> float:
    """MB, what processes share counted for each by its part.

    Without files that are mapped: of torch's libraries a part falls to each program that runs them,
    and more when another one ends.
    """
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except (OSError, ValueError):
        return 0.0  # it has just ended
    lines = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return sum(int(lines[key].split()[0]) for key in ("Pss_Anon", "Pss_Shmem")) / 1024


def _children(process: int) -> list[int]:
    try:
        return [
            int(n) for n in Path(f"/proc/{process}/task/{process}/children").read_text().split()
        ]
    except OSError:
        return []


def growth(samples: Samples, total: int) -> tuple[float, float]:
    """The memory in the second quarter of a run, and in its last."""
    second = [mb for done, mb in samples if total / 4 < done <= total / 2]
    last = [mb for done, mb in samples if done > total * 3 / 4]
    return median(second), median(last)


def train(steps: int, work: Path) -> tuple[float, float]:
    data = generate(root=work / "data", splits={"train": 24, "val": 2}, seed=3, image_side=128)
    rules = [
        f"schedule.rules.{key}"
        for key in (f"iterations={steps}", "log_every=10", f"checkpoint_every={steps // 8}")
    ]
    output = work / "run"
    words = [*_TRAINING, *rules, f"data.root={data}", f"output_dir={output}"]
    samples, _ = watch(["train", *words], output / "log.jsonl")
    return growth(samples, steps // 10)


def detect(pictures: int, side: int, checkpoint: Path, work: Path) -> tuple[float, float, float]:
    """As `growth`, and the peak."""
    folder, output = work / f"pictures{side}", work / f"detected{side}"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    coded = cv2.imencode(".jpg", cv2.resize(noise, (side, side)))[1].tobytes()
    for number in range(pictures):
        (folder / f"{number:06d}.jpg").write_bytes(coded)
    words = [
        f"checkpoint={checkpoint}", f"images={folder}", f"output_dir={output}",
        "runtime.device=cpu", "runtime.workers=2", "draw_score=0.3", "batch_size=4",
    ]  # fmt: skip
    samples, peak = watch(["detect", *words], output / "detections.jsonl")
    assert len(list((output / "drawn").iterdir())) == pictures
    return (*(growth(samples, pictures) if pictures > 8 else (peak, peak)), peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="of training, at least 200")
    parser.add_argument("--pictures", type=int, default=5000, help="small ones to detect in")
    parser.add_argument("--side", type=int, default=10_000, help="of the large one, pixels")
    given = parser.parse_args()
    leaks = 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        before, after = train(given.steps, work)
        leaks += _said(f"training, {given.steps} steps", before, after)
        checkpoint = work / "run" / "last.pt"
        before, after, peak = detect(given.pictures, 64, checkpoint, work)
        leaks += _said(f"detecting in {given.pictures} pictures", before, after)
        *_, peak = detect(1, given.side, checkpoint, work)
        sys.stdout.write(f"one picture of {given.side} x {given.side}: at most {peak:.0f} MB\n")
    return 1 if leaks else 0


def _said(what: str, before: float, after: float) -> bool:
    part = after / before - 1
    sys.stdout.write(f"{what}: {before:.1f} MB, later {after:.1f} MB, {100 * part:+.2f} %\n")
    sys.stdout.flush()
    return part > MOST_GROWTH


if __name__ == "__main__":
    sys.exit(main())
