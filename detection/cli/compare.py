"""Compares settings of inference, or checkpoints, on one data set: a table as the paper's Table 9.

python tools/compare.py data.root=/path/to/dataset checkpoint=outputs/train/best.pt \\
    '~rows.full' '+rows.refine_twice="inference=refine inference.refinement.passes=2"'

A row is tools/test_net.py under the row's overrides.  Prints the table and leaves in output_dir:
table.md, table.json, and a folder for each row with what tools/test_net.py leaves.  A row that is
there already is not measured again: an interrupted comparison goes on where it stopped.
overwrite=true measures all rows again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from detection.atomic_write import write_text
from detection.cli import test_net
from detection.cli.compose import check_values, compose_config
from detection.cli.objects import as_plain
from detection.engine.output_folder import OutputFolder
from detection.evaluation.bootstrap import compare
from detection.evaluation.detections_file import read_detections

log = logging.getLogger("compare")

# Of the configuration: the same for every row.
SHARED = ("data", "runtime", "split", "max_images", "batch_size", "backend", "trust")
# What leaves the numbers of a row as they are.
FREE = ("overwrite", "report", "compare", "open")


def main(config: DictConfig) -> None:
    folder = Path(config.output_dir)
    configs = _row_configs(config, folder)
    first, *_ = configs.values()
    dataset = test_net.open_test_set(first)
    if not dataset.annotated:
        raise ValueError(f"{dataset.source} is not annotated: there is nothing to compare with")
    ground_truth = dataset.to_coco()
    annotations = _digest(json.dumps(ground_truth).encode())
    output = OutputFolder(
        path=folder,
        command="compare",
        files=("table.md", "table.json"),
        patterns=tuple(f"{Path(row.output_dir).name}/config.yaml" for row in configs.values()),
        runs=tuple(Path(row.output_dir).name for row in configs.values()),
        reads=[Path(path) for row in configs.values() for path in _inputs(row)],
    )
    with output.taken(resume=not config.overwrite, overwrite=config.overwrite) as begun:
        for name, row_config in configs.items():
            # What an interrupted comparison of ours left of a row is measured anew.
            row_config.overwrite = begun or config.overwrite
            _measure(name, row_config, annotations)
        _write_table(config, configs, ground_truth, folder)


def _write_table(
    config: DictConfig, configs: dict[str, DictConfig], ground_truth: dict[str, Any], folder: Path
) -> None:
    rows = _rows(config, configs, ground_truth)
    table = as_markdown(rows, config.bootstrap.confidence)
    print(table)
    write_text(folder / "table.md", table + "\n")
    content = {"rows": rows, "bootstrap": as_plain(config.bootstrap), "images": config.max_images}
    write_text(folder / "table.json", json.dumps(content, indent=2) + "\n")
    log.info("written: %s, %s", folder / "table.md", folder / "table.json")


def _row_configs(config: DictConfig, folder: Path) -> dict[str, DictConfig]:
    """The configuration of tools/test_net.py for each row; all are composed before any is run."""
    if not config.rows:
        raise ValueError("no rows to compare: give '+rows.NAME=\"overrides of configs/test.yaml\"'")
    configs, folders = {}, set()
    for name, line in config.rows.items():
        overrides = shlex.split(line)
        keys = {override.partition("=")[0].split(".")[0] for override in overrides}
        if shared := sorted(keys & set(SHARED)):
            raise ValueError(
                f"rows: {name!r} overrides {', '.join(shared)}, which all rows share; give it to "
                "the comparison as a whole"
            )
        row = compose_config("test", overrides)
        for key in SHARED:
            row[key] = config[key]
        if row.checkpoint is None and row.detections is None:
            row.checkpoint = config.checkpoint
        # Letters and digits alone: a row's name is free, a folder's is not.
        folder_name = re.sub(r"\W+", "_", str(name)).strip("_")
        if folder_name in folders or not folder_name:
            raise ValueError(f"rows: {name!r} has no folder name of its own; rename it")
        folders.add(folder_name)
        row.output_dir = str(folder / folder_name)
        check_values("test", row, overrides, is_needed=lambda key: f"{key} is needed")
        configs[str(name)] = row
    return configs


def _measure(name: str, config: DictConfig, annotations: str) -> None:
    """One row, unless it is there; ``annotations``: the digest of what it is measured against."""
    folder = Path(config.output_dir)
    done = folder / "config.yaml"
    wanted = as_plain(config) | {"measured_of": {"annotations": annotations} | _inputs(config)}
    for key in FREE:
        del wanted[key]
    if done.is_file() and (folder / "metrics.json").is_file():
        before = OmegaConf.to_container(OmegaConf.load(done))
        assert isinstance(before, dict)
        for key in FREE:
            before.pop(key, None)
        if isinstance(runtime := before.get("runtime"), dict):  # earlier versions did not say it
            runtime.setdefault("regions_at_once", wanted["runtime"]["regions_at_once"])
        if before != wanted:
            raise ValueError(
                f"{folder} holds the row {name!r} measured otherwise, with another "
                f"{', '.join(_differing(before, wanted))} (see its config.yaml): remove it, or "
                "choose another output_dir"
            )
        log.info("%s: measured before, in %s", name, folder)
        return
    log.info("\n%s", name)
    test_net.main(config)
    write_text(done, OmegaConf.to_yaml(OmegaConf.create(wanted)))


def _differing(before: dict[Any, Any], wanted: dict[str, Any]) -> list[str]:
    """The keys whose values differ; of the files that a row was measured of, their names."""
    found = [
        str(key) for key in before.keys() | wanted.keys() if before.get(key) != wanted.get(key)
    ]
    if "measured_of" in found and before.get("measured_of"):
        found.remove("measured_of")
        found += _differing(before["measured_of"], wanted["measured_of"])
    return sorted(found)


def _inputs(config: DictConfig) -> dict[str, str]:
    """Path -> digest of the files that a row is made of: a file may change and keep its name."""
    given = config.detections if config.checkpoint is None else config.checkpoint
    named = [*given] if OmegaConf.is_list(given) else [given]
    paths = [Path(path) for path in (*named, config.proposals_file) if path is not None]
    files = [
        file for path in paths for file in (sorted(path.glob("*")) if path.is_dir() else [path])
    ]
    return {str(file): _digest(file.read_bytes()) for file in files if file.is_file()}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _rows(
    config: DictConfig, configs: dict[str, DictConfig], ground_truth: dict[str, Any]
) -> list[dict[str, Any]]:
    """For each row its name, APs, seconds per image, and its difference to the first row."""
    detections = {name: _detections(row, ground_truth) for name, row in configs.items()}
    baseline, *_ = detections.values()
    rows: list[dict[str, Any]] = []
    for name, row in configs.items():
        metrics = json.loads((Path(row.output_dir) / "metrics.json").read_text(encoding="utf-8"))
        entry = {"name": name, "overrides": config.rows[name]}
        entry |= {key: metrics["coco"][key] for key in ("AP", "AP50", "AP75")}
        entry["seconds_per_image"] = metrics.get("seconds_per_image")
        entry["difference"] = None
        if rows:
            found = compare(ground_truth, baseline, detections[name], **config.bootstrap)
            entry["difference"] = found.as_dict()
        rows.append(entry)
    return rows


def _detections(config: DictConfig, ground_truth: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the row; of classes that the data set does not have there is no AP to compare."""
    if config.detections is not None:
        return read_detections(Path(config.detections), ground_truth)
    known = {category["id"] for category in ground_truth["categories"]}
    saved = json.loads((Path(config.output_dir) / "detections.json").read_text(encoding="utf-8"))
    return [entry for entry in saved if entry["category_id"] in known]


def as_markdown(rows: list[dict[str, Any]], confidence: float) -> str:
    """APs and differences in percent; of the differences the interval, in brackets."""
    first = rows[0]["name"]
    lines = [
        f"| | AP | AP50 | AP75 | s per image | AP - {first} ({confidence:.0%}) "
        f"| AP50 - {first} ({confidence:.0%}) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        aps = ["-" if row[k] is None else f"{100 * row[k]:.1f}" for k in ("AP", "AP50", "AP75")]
        seconds = row["seconds_per_image"]
        differences = [
            "" if row["difference"] is None else _with_interval(row["difference"][key])
            for key in ("AP", "AP50")
        ]
        cells = [row["name"], *aps, "" if seconds is None else f"{seconds:.2f}", *differences]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _with_interval(interval: dict[str, float]) -> str:
    value, low, high = (f"{100 * interval[key]:+.1f}" for key in ("difference", "low", "high"))
    return f"{value} [{low}, {high}]"
