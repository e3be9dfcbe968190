"""The comparison of rows, on detections that are there already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from detection.cli import test_net
from detection.cli.compare import as_markdown, main
from detection.cli.compose import compose_config
from detection.shapes.dataset import generate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes") / "data"
    return generate(root=root, splits={"val": 4}, seed=3, image_side=128)


@pytest.fixture(scope="module")
def saved(data: Path) -> dict[str, Path]:
    """Detections: every object exactly, and all but those of the last image."""
    config = compose_config("test", [f"data.root={data}", "detections=x"])
    truth = test_net.open_test_set(config).to_coco()
    exact = [
        {key: a[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for a in truth["annotations"]
    ]
    last = max(image["id"] for image in truth["images"])
    paths = {}
    for name, rows in (
        ("exact", exact),
        ("poorer", [entry for entry in exact if entry["image_id"] != last]),
    ):
        paths[name] = data / f"{name}.json"
        paths[name].write_text(json.dumps(rows))
    return paths


def config_of(data: Path, saved: dict[str, Path], folder: Path, *overrides: str) -> Any:
    nothing = [f"~rows.{name}" for name in ("single", "refine", "refine_vote", "multi_scale")]
    rows = [f'+rows.{name}="detections={path}"' for name, path in saved.items()]
    return compose_config(
        "compare",
        [f"data.root={data}", f"output_dir={folder}", *nothing, "~rows.full", *rows, *overrides],
    )


def test_a_table_with_differences_and_all_that_it_was_made_from(
    data: Path, saved: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(config_of(data, saved, tmp_path, "bootstrap.resamples=50"))
    content = json.loads((tmp_path / "table.json").read_text())
    exact, poorer = content["rows"]
    assert (exact["name"], exact["AP"], exact["difference"]) == ("exact", 1.0, None)
    found = poorer["difference"]["AP50"]
    assert found["difference"] == pytest.approx(poorer["AP50"] - 1)
    assert -1 <= found["low"] <= found["difference"] < 0
    assert found["high"] == 0  # draws without the last image
    table = capsys.readouterr().out
    assert table == (tmp_path / "table.md").read_text()
    assert "| exact | 100.0 | 100.0 | 100.0 |" in table
    assert (tmp_path / "poorer" / "metrics.json").is_file()


def test_an_interrupted_comparison_goes_on_where_it_stopped(
    data: Path, saved: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []
    original = test_net.main

    def count(config: Any) -> None:
        if len(measured) == 1:
            measured.append("stopped")
            raise KeyboardInterrupt
        measured.append(Path(config.output_dir).name)
        original(config)

    monkeypatch.setattr(test_net, "main", count)
    config = config_of(data, saved, tmp_path, "bootstrap.resamples=5")
    with pytest.raises(KeyboardInterrupt):
        main(config)
    main(config)
    main(config)
    assert measured == ["exact", "stopped", "poorer"]
    # A row of an earlier version does not say how many regions went through conv5 at once.
    rows = list(tmp_path.glob("*/config.yaml"))
    assert len(rows) == 2
    for file in rows:
        row = OmegaConf.load(file)
        del row.runtime.regions_at_once
        OmegaConf.save(row, file)
    main(config)
    assert measured == ["exact", "stopped", "poorer"]


def test_a_row_of_another_configuration_is_not_taken_for_this_one(
    data: Path, saved: dict[str, Path], tmp_path: Path
) -> None:
    main(config_of(data, saved, tmp_path, "bootstrap.resamples=5"))
    other = config_of(data, saved, tmp_path, "bootstrap.resamples=5", "max_images=3")
    with pytest.raises(
        ValueError, match=r"'exact' measured otherwise, with another annotations, max_images"
    ):
        main(other)


def test_a_row_of_a_file_that_has_changed_since_is_not_taken_for_this_one(
    data: Path, saved: dict[str, Path], tmp_path: Path
) -> None:
    copies = {}
    for name, path in saved.items():
        copies[name] = tmp_path / path.name
        copies[name].write_text(path.read_text())
    config = config_of(data, copies, tmp_path / "out", "bootstrap.resamples=5")
    main(config)
    copies["poorer"].write_text(copies["exact"].read_text())
    with pytest.raises(ValueError, match=r"'poorer' .* with another \S+poorer\.json \(see"):
        main(config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ('+rows.big="batch_size=8"', "'big' overrides batch_size, which all rows share"),
        ('+rows.wrong="inference=ful"', "did you mean 'full'"),
        ('+rows.exact_="inference=single"', "'exact_' has no folder name of its own"),
    ],
)
def test_a_wrong_row_is_named_before_anything_is_measured(
    data: Path, saved: dict[str, Path], tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        main(config_of(data, saved, tmp_path / "out", override))
    assert not (tmp_path / "out").exists()


def test_the_table_is_markdown_in_percent() -> None:
    numbers = {"AP": 0.1234, "AP50": 0.25, "AP75": None}
    interval = {"difference": 0.012, "low": -0.001, "high": 0.0249}
    rows = [
        {"name": "a", **numbers, "seconds_per_image": 1.234, "difference": None},
        {
            "name": "b",
            **numbers,
            "seconds_per_image": None,
            "difference": {"AP": interval, "AP50": interval},
        },
    ]
    lines = as_markdown(rows, 0.95).splitlines()
    assert lines[0] == "| | AP | AP50 | AP75 | s per image | AP - a (95%) | AP50 - a (95%) |"
    assert lines[2] == "| a | 12.3 | 25.0 | - | 1.23 |  |  |"
    assert lines[3] == "| b | 12.3 | 25.0 | - |  | +1.2 [-0.1, +2.5] | +1.2 [-0.1, +2.5] |"
