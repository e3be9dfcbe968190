"""The tools as a user calls them: train, resume, test, detect, on a few generated pictures."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch

from detection.engine import report_file
from detection.engine.log import read_log
from detection.inference.detector import Detector
from detection.report.content import Report
from detection.shapes.dataset import generate
from detection.shapes.outlines import CLASS_NAMES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "experiment=demo",
    # At a rate that does not fall a run of two iterations is the first half of one of four; and by
    # AdamW's first steps any two gradients of one sign are alike.
    "schedule=paper2015",
    "schedule/optimizer=caffe_sgd",
    "schedule.learning_rate.reference=0.01",
    "data.shorter_sides=[96]",
    "model.roi_head.sampling.per_image=8",
    "inference=single",
    "schedule.learning_rate.warmup_iterations=0",
    "schedule.rules.log_every=1",
    "runtime=exact",
    "runtime.workers=0",
    "runtime.device=cpu",
    # Else four steps teach it that all is background, and nothing is found.
    "model.roi_head.sampling.foreground_fraction=0.5",
]


def run(tool: str, *arguments: str, fails: bool = False) -> str:
    """The tool's script in this process, which knows torch already; what it ends with.

    ``fails``: whether it has to, with a line for the user.  Any other error is raised here.
    """
    script = str(ROOT / "tools" / tool)
    torch.manual_seed(2)  # as a new process: it does not go on with the last one's random numbers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments])
        patch.setattr(sys, "path", [*sys.path])
        try:
            runpy.run_path(script, run_name="__main__")
            said = None
        except SystemExit as end:
            said = end.code
        finally:
            torch.use_deterministic_algorithms(False)
    assert (said is not None) == fails, said
    assert not fails or isinstance(said, str)  # Python prints it, and the exit status is 1
    return str(said)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes") / "data"
    return generate(root=root, splits={"train": 12, "val": 4}, seed=3, image_side=160)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of four iterations."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run("train_net.py", *SMALL, f"data.root={data}", f"output_dir={folder}",
        "schedule.rules.iterations=4", "schedule.rules.checkpoint_every=2")  # fmt: skip
    return folder


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())


def test_training_leaves_what_programs_read(trained: Path) -> None:
    metrics = read_json(trained / "metrics.json")
    assert set(metrics["coco"]) >= {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR100"}
    assert set(metrics["voc"]["per_class"]) == set(CLASS_NAMES)
    assert metrics["versions"]["torch"] == torch.__version__
    assert "train_net.py" in metrics["command"]
    kinds = [(line["iteration"], line["kind"]) for line in read_log(trained / "log.jsonl")]
    assert kinds == [*((i, "train") for i in (1, 2, 3, 4)), (4, "validation")]
    for name in ("best.pt", "last.pt", "config.yaml", "loss.png", "tensorboard", "worst.jpg",
                 "report.html"):  # fmt: skip
        assert (trained / name).exists(), name
    back = metrics["look_back"]
    assert back["checkpoint"] == "best.pt"
    assert back["AP_interval"][0] <= back["AP"] <= back["AP_interval"][1]
    assert 1 <= len(back["weak_classes"]) <= 3
    assert all((trained / name).is_file() for name in back["worst_pictures"])


def test_a_killed_and_resumed_training_ends_with_the_same_weights(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    arguments = [*SMALL, f"data.root={data}", f"output_dir={tmp_path / 'run'}"]
    run("train_net.py", *arguments, "schedule.rules.iterations=2")
    shutil.rmtree(tmp_path / "run" / "tensorboard")
    run("train_net.py", *arguments, "schedule.rules.iterations=4", "resume=true")
    whole, resumed = (
        torch.load(folder / "last.pt", weights_only=True)["weights"]
        for folder in (trained, tmp_path / "run")
    )
    for name, value in whole.items():
        assert torch.equal(resumed[name], value), name


def test_a_finished_run_is_not_overwritten(trained: Path, data: Path) -> None:
    before = (trained / "last.pt").stat().st_mtime
    error = run("train_net.py", *SMALL, f"data.root={data}", f"output_dir={trained}", fails=True)
    assert "resume=true" in error
    assert (trained / "last.pt").stat().st_mtime == before


def test_testing_repeats_the_numbers_of_training(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = reports_of(monkeypatch)
    run("test_net.py", f"data.root={data}", f"checkpoint={trained / 'last.pt'}",
        f"output_dir={tmp_path / 'a'}", "runtime=exact", "runtime.workers=0")  # fmt: skip
    again = read_json(tmp_path / "a" / "metrics.json")["coco"]["AR100"]
    assert again == pytest.approx(read_json(trained / "metrics.json")["coco"]["AR100"], abs=2e-3)
    # Both kinds of saved detections give the same numbers once more, and those of other runs.
    for saved, further in (
        ("detections.json", ["report=false"]),
        ("comp4", ["compare=[a,a/comp4]"]),
    ):
        monkeypatch.chdir(tmp_path)
        run("test_net.py", f"data.root={data}", f"detections={tmp_path / 'a' / saved}",
            f"output_dir={tmp_path / saved}", *further)  # fmt: skip
        numbers = read_json(tmp_path / saved / "metrics.json")["coco"]
        assert numbers["AR100"] == pytest.approx(again, abs=1e-6)
    tested, saved_ones = reports  # the other one has none
    assert tested.title == "whole/last.pt on data, val"
    assert saved_ones.title == "a/comp4 on data, val"
    assert tested.numbers["AR100"].value == again
    proposals = read_json(tmp_path / "a" / "metrics.json")["proposals"]
    assert tested.proposal_recall == proposals
    assert proposals["AR100"] > 0
    assert read_json(trained / "metrics.json")["proposals"] == pytest.approx(proposals, abs=2e-3)
    assert tested.training is not None  # its log lies beside the checkpoint
    assert tested.next_steps[0].startswith("In pictures of your own: `python")
    # Saved detections are shown where the pictures are.
    assert len(tested.pictures) == len(saved_ones.pictures) == 4
    assert [one.name for one in saved_ones.comparisons] == ["a", "comp4"]
    assert not (tmp_path / "detections.json" / "report.html").exists()
    # What cannot be compared with is said before anything is detected.
    wrong = run("test_net.py", f"data.root={data}", f"checkpoint={trained / 'last.pt'}",
                "output_dir=b", f"compare={data}", fails=True)  # fmt: skip
    assert "no run to compare with" in wrong
    assert not (tmp_path / "b").exists()


def reports_of(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """The reports that are written from here on, in place of their pages."""
    reports: list[Report] = []
    monkeypatch.setattr(report_file, "write_report", lambda path, report: reports.append(report))
    return reports


def test_saved_detections_are_measured(data: Path, tmp_path: Path) -> None:
    # The detector above finds nothing yet.  Here the objects themselves are the detections, but
    # for those of one image: 3 of 4 images are found whole.
    truth = read_json(data / "annotations" / "instances_val.json")
    missed = truth["images"][0]["id"]
    found = [
        {key: entry[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9}
        for entry in truth["annotations"]
        if entry["image_id"] != missed
    ]
    assert 0 < len(found) < len(truth["annotations"])
    (tmp_path / "found.json").write_text(json.dumps(found))
    run("test_net.py", f"data.root={data}", f"detections={tmp_path / 'found.json'}",
        f"output_dir={tmp_path / 'out'}")  # fmt: skip
    per_class = read_json(tmp_path / "out" / "metrics.json")["voc"]["per_class"]
    missed_classes = {e["category_id"] for e in truth["annotations"] if e["image_id"] == missed}
    for category in truth["categories"]:
        average_precision = per_class[category["name"]]["AP_area"]
        if category["id"] not in missed_classes and average_precision is not None:
            assert average_precision == pytest.approx(1)
        elif category["id"] in missed_classes:
            assert average_precision < 1


def test_voc_format_works_by_changing_only_the_path(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    run("test_net.py", f"data.root={data / 'VOC'}", f"checkpoint={trained / 'last.pt'}",
        f"output_dir={tmp_path}", "runtime=exact", "runtime.workers=0")  # fmt: skip
    assert read_json(tmp_path / "metrics.json")["voc"]["per_class"].keys() == set(CLASS_NAMES)


def test_detecting_in_a_folder(
    trained: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(data / "val", folder)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no photo")
    error = run(
        "detect.py", f"checkpoint={trained / 'last.pt'}", f"images={folder}", "batch_size=3",
        f"output_dir={tmp_path / 'out'}", "score_threshold=0.0", "per_image=5", "runtime=exact",
        "strict=true", fails=True,
    )  # fmt: skip
    assert "1 of 5 images could not be read" in error
    assert "broken.jpg" in caplog.text  # ... and nothing else was lost:
    results = read_json(tmp_path / "out" / "detections.json")
    names = {path.name for path in (data / "val").iterdir()}
    assert {entry["file_name"] for entry in results} == names
    assert len(results) == 5 * len(names)
    assert all(entry["class_name"] in CLASS_NAMES for entry in results)
    for name in names:
        drawn = cv2.imread(str(tmp_path / "out" / "drawn" / name))
        height, width, _ = cv2.imread(str(folder / name)).shape
        assert drawn.shape[1] == width
        assert drawn.shape[0] >= height  # a legend lies below


def test_an_ensemble_with_every_step_detects_and_draws(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    checkpoints = f"[{trained / 'best.pt'},{trained / 'last.pt'}]"
    run(
        "detect.py", f"checkpoint={checkpoints}", f"images={data / 'val'}", "inference=full",
        "inference.multi_scale.shorter_sides=[64,96]", f"output_dir={tmp_path}", "per_image=5",
        "score_threshold=0.0", "proposals=10", "runtime=exact",
    )  # fmt: skip
    results = read_json(tmp_path / "detections.json")
    names = {path.name for path in (data / "val").iterdir()}
    assert {entry["file_name"] for entry in results} == names
    assert len(results) == 5 * len(names)
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == names


def test_a_detector_needs_nothing_but_its_checkpoint(trained: Path, data: Path) -> None:
    detector = Detector.load(trained / "best.pt")
    assert detector.class_names == CLASS_NAMES
    image = cv2.imread(str(min((data / "val").iterdir())))  # the first by name
    (found,) = detector.detect_arrays([image])
    height, width = image.shape[:2]
    assert (found.boxes >= 0).all()
    assert (found.boxes <= torch.tensor([width, height, width, height])).all()


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("train_net.py", ["data.root=/nowhere"], "/nowhere: no such folder"),
        ("train_net.py", ["data.root={data}", "data.train_split=x"], "There are train, val"),
        ("train_net.py", ["data.root={data}", "data.classes=[cirle]"], "no class 'cirle'"),
        ("train_net.py", ["data.root={data}", "runtime.device=cuda:77"], "device='cuda:77'"),
        ("train_net.py", ["data.root={data}", "weights={trained}/last.pt"], "goes into init="),
        (
            "train_net.py",
            ["data.root={data}", "init={trained}/last.pt", "model=modern_c4"],
            "another architecture",
        ),
        (
            "train_net.py",
            ["data.root={data}", "model/backbone=resnet_basic"],
            "conv1, conv2 fixed at random numbers",
        ),
        ("test_net.py", ["data.root={data}"], "give either checkpoint"),
        ("test_net.py", ["data.root={data}", "checkpoint=x.pt"], "x.pt: no such checkpoint"),
        ("test_net.py", ["data.root={data}", "checkpoint={trained}"], "a folder: take {trained}/b"),
        ("detect.py", ["checkpoint={trained}/best.pt", "images=/nowhere"], "no images there"),
        ("detect.py", ["checkpoint={data}/shapes.json", "images={data}/val"], "not a readable"),
    ],
)
def test_wrong_input_is_named_without_a_traceback(
    trained: Path, data: Path, tmp_path: Path, tool: str, arguments: list[str], message: str
) -> None:
    filled = [argument.format(data=data, trained=trained) for argument in arguments]
    assert message.replace("{trained}", str(trained)) in run(
        tool, *filled, f"output_dir={tmp_path / 'out'}", fails=True
    )


def test_a_mistake_ends_the_process_with_one_line(data: Path) -> None:
    command = [sys.executable, str(ROOT / "tools" / "detect.py"), f"images={data}/val"]
    done = subprocess.run(
        [*command, f"checkpoint={data}/shapes.json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "not a readable" in done.stderr
    assert "Traceback" not in done.stderr
