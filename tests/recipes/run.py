"""Recipes on strangers' folders, in the same minutes:

    python tests/recipes/run.py FOLDER ... --weights resnet50.pth --seeds 1 2 3 -o out

Each folder is trained on by ``detection train`` with nothing but the weights, and the minutes if
``--minutes`` says some; then, for as long as that took and with the same split, by
``experiment=r50_c4_small_cpu`` (a recipe made by hand) and by torchvision's fine-tuning of its
Faster R-CNN (torchvision_finetune.py).  "without RULE" is the first one with that rule of it
switched off, in as many minutes.  AP and AP50 are those of the last validation: none is chosen by
the pictures that it is measured on.

Leaves out/results.jsonl, a line for each training; what is there already is not trained again.
Prints the table, and the mean difference to the recipe by hand with its 95 % interval (Student's t
over the folders).  For a quiet machine: minutes are minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from omegaconf import OmegaConf

from detection.engine.recipe.rules import RULES

THIS, BY_HAND, TORCHVISION = "schedule=auto", "by hand", "torchvision"
WITHOUT = "without "
RECIPES = (THIS, BY_HAND, TORCHVISION, *(f"{WITHOUT}{rule}" for rule in RULES))
_BY_HAND = "experiment=r50_c4_small_cpu"
_TRIAL = 12  # iterations of the recipe by hand that say how long one takes
# The two-sided 97.5 % point of Student's t for 1, 2 ... degrees of freedom.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13)


def detection(*words: str) -> None:
    """One command of the package, which must succeed."""
    run([sys.executable, "-m", "detection", *words])


def run(command: list[str]) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def measured(folder: Path) -> dict[str, Any]:
    content = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {name: content["coco"][name] for name in ("AP", "AP50")} | {
        "seconds": content["seconds"]
    }


def train_this(data: Path, given: argparse.Namespace, seed: int, recipe: str, output: Path) -> None:
    off = recipe.removeprefix(WITHOUT)
    words = [f"schedule.recipe.{off}=false"] if off != recipe else []
    words += [] if given.minutes is None else [f"minutes={given.minutes}"]
    detection("train", str(data), f"weights={given.weights}", f"seed={seed}",
              f"output_dir={output}", "overwrite=true", "report=false", *words)  # fmt: skip


def train_by_hand(weights: Path, seconds: float, seed: int, output: Path, split: list[str]) -> None:
    words = [*split, _BY_HAND, f"weights={weights}", f"seed={seed}", "overwrite=true",
             "report=false"]  # fmt: skip
    trial = output.with_name(f"{output.name}-trial")
    detection("train", *words, f"output_dir={trial}", f"schedule.rules.iterations={_TRIAL}",
              "schedule.learning_rate.warmup_iterations=0", "schedule.rules.log_every=1",
              "schedule.rules.evaluate_every=0")  # fmt: skip
    one = seconds_of_an_iteration(trial)
    around = measured(trial)["seconds"] - _TRIAL * one  # the start, and the validation at the end
    iterations = max(20, round((seconds - around) / one))
    detection("train", *words, f"output_dir={output}", f"schedule.rules.iterations={iterations}",
              f"schedule.learning_rate.warmup_iterations={min(100, iterations // 10)}")  # fmt: skip


def seconds_of_an_iteration(run_folder: Path) -> float:
    lines = (run_folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "train"]
    return statistics.median(row["seconds_per_iteration"] for row in rows[2:])


def split_of(run_folder: Path) -> list[str]:
    """The keys by which another training divides the pictures as the one in ``run_folder``."""
    data = OmegaConf.load(run_folder / "config.yaml").data
    keys = ("root", "train_split", "val_split", "classes", "split_file")
    given = {key: data.get(key) for key in keys}
    if (run_folder / "split.json").is_file():
        given["split_file"] = str(run_folder / "split.json")
    return [f"data.{key}={_word(value)}" for key, value in given.items() if value is not None]


def _word(value: Any) -> str:
    return json.dumps(value if isinstance(value, str) else OmegaConf.to_container(value))


def trainings(given: argparse.Namespace) -> Iterator[tuple[Path, int, str]]:
    for seed in given.seeds:
        for folder in given.folders:
            for recipe in given.recipes:
                yield folder, seed, recipe


def train(given: argparse.Namespace, folder: Path, seed: int, recipe: str) -> dict[str, Any]:
    own = given.output / f"{name_of(folder)}-{seed}"
    output = own / recipe.replace("=", "-").replace(" ", "-")
    if recipe == THIS or recipe.startswith(WITHOUT):
        train_this(folder, given, seed, recipe, output)
        return measured(output)
    first = own / THIS.replace("=", "-")
    seconds = measured(first)["seconds"]
    if recipe == BY_HAND:
        train_by_hand(given.weights, seconds, seed, output, split_of(first))
        return measured(output)
    run([sys.executable, str(Path(__file__).with_name("torchvision_finetune.py")), str(first),
         "--weights", str(given.weights), "--seconds", str(seconds), "--seed", str(seed),
         "--output", str(output / "metrics.json")])  # fmt: skip
    return measured(output)


def name_of(folder: Path) -> str:
    """Not "data" or "dataset", which several are called."""
    plain = {"data", "dataset", "images"}
    return next(part for part in reversed(folder.resolve().parts) if part not in plain)


def table(rows: list[dict[str, Any]]) -> str:
    recipes = [recipe for recipe in RECIPES if any(row["recipe"] == recipe for row in rows)]
    lines = ["| data set | " + " | ".join(f"{r}: AP, AP50, minutes" for r in recipes) + " |"]
    lines.append("|---|" + "--:|" * len(recipes))
    for name in dict.fromkeys(row["data"] for row in rows):
        cells = [_cell([r for r in rows if (r["data"], r["recipe"]) == (name, recipe)])
                 for recipe in recipes]  # fmt: skip
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for recipe in recipes[1:]:
        lines += ["", difference(rows, recipe)]
    return "\n".join(lines)


def _cell(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return ""
    means = {key: statistics.fmean(row[key] for row in rows) for key in ("AP", "AP50", "seconds")}
    spread = ""
    if len(rows) > 1:
        spread = f" ± {100 * statistics.stdev(row['AP'] for row in rows):.1f}"
    return (
        f"{100 * means['AP']:.1f}{spread}, {100 * means['AP50']:.1f}, {means['seconds'] / 60:.1f}"
    )


def difference(rows: list[dict[str, Any]], other: str) -> str:
    """In AP, of the folders' means, with the interval of the mean over the folders."""
    means: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        means.setdefault((row["data"], row["recipe"]), []).append(100 * row["AP"])
    names = [name for name, recipe in means if recipe == other and (name, THIS) in means]
    gains = [
        statistics.fmean(means[name, THIS]) - statistics.fmean(means[name, other]) for name in names
    ]
    if len(gains) < 2:
        of_one = "".join(f" {gain:+.1f} AP, of one folder" for gain in gains)
        return f"{THIS} against {other}:{of_one or ' nothing to compare'}"
    half = _T[min(len(gains), len(_T) + 1) - 2] * statistics.stdev(gains) / math.sqrt(len(gains))
    return (
        f"{THIS} against {other}: {statistics.fmean(gains):+.1f} AP ± {half:.1f} over {len(gains)} "
        f"folders; least {min(gains):+.1f} ({names[gains.index(min(gains))]})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--weights", type=Path, required=True, help="ResNet-50 of MSRA")
    parser.add_argument("--minutes", type=float, help="of a training; else the recipe's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=RECIPES[:3])
    parser.add_argument("-o", "--output", type=Path, default=Path("outputs/recipes"))
    given = parser.parse_args()
    results = given.output / "results.jsonl"
    given.output.mkdir(parents=True, exist_ok=True)
    lines = results.read_text(encoding="utf-8").splitlines() if results.is_file() else []
    rows = [json.loads(line) for line in lines]
    done = {(row["data"], row["seed"], row["recipe"]) for row in rows}
    for folder, seed, recipe in trainings(given):
        if (name_of(folder), seed, recipe) in done:
            continue
        row = {"data": name_of(folder), "seed": seed, "recipe": recipe}
        row |= train(given, folder, seed, recipe)
        rows.append(row)
        with results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        sys.stderr.write(f"{row}\n")
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
