"""4-step alternating training, its proposals, and what comes of it, on a few generated pictures."""

from __future__ import annotations

import json
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from detection.checkpoint import Checkpoint
from detection.cli import import_weights, propose, test_net, train_alternating, train_net
from detection.cli.compose import compose_config
from detection.engine.alternating_training import four_steps
from detection.engine.log import read_log
from detection.engine.training_run import TrainingRun
from detection.engine.validation import DetectionValidation
from detection.inference.detector import Detector
from detection.shapes.dataset import generate
from detection.shapes.outlines import CLASS_NAMES
from detection.visualization import curves

pytestmark = pytest.mark.slow

RUNTIME = ["runtime=exact", "runtime.workers=0", "runtime.device=cpu"]
SMALL = [
    *RUNTIME,
    "experiment=demo_alternating",
    "data.shorter_sides=[64]",
    "model.roi_head.sampling.per_image=4",
    "model.roi_head.sampling.foreground_fraction=0.5",
    "inference=single",
    "model.rpn.sampling.cross_boundary=true",  # no anchor lies inside pictures so small
    "schedule.learning_rate.warmup_iterations=0",
    "schedule.rules.log_every=1",
    "schedule.rules.iterations=1",
]
# Their rate falls to zero at the last iteration: more of them are another schedule.
LONGER = ["schedule.rules.iterations=2", "resume_with_changes=true"]
STEPS = ("1_rpn", "2_fast_rcnn", "3_rpn", "4_fast_rcnn")


@pytest.fixture(scope="module", autouse=True)
def _runtime_as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module", autouse=True)
def _curves_are_drawn_once() -> Iterator[None]:
    """In the first step: a picture takes longer than an iteration."""
    draw, drawn = curves.plot_training, list[Path]()

    def first_alone(lines: Any, picture: Path) -> None:
        drawn.append(picture)
        if len(drawn) == 1:
            draw(lines, picture)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "plot_training", first_alone)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("shapes") / "data"
    return generate(root=root, splits={"train": 4, "val": 2}, seed=3, image_side=128)


def train(data: Path, folder: Path, *overrides: str) -> None:
    arguments = [*SMALL, f"data.root={data}", f"output_dir={folder}", *overrides]
    train_alternating.main(compose_config("alternating", arguments))


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "alternating"
    train(data, folder)
    return folder


def weights(path: Path, *prefixes: str) -> dict[str, Tensor]:
    everything = torch.load(path, weights_only=True)["weights"]
    return {name: value for name, value in everything.items() if name.startswith(prefixes)}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    assert a.keys() == b.keys()
    assert a
    return all(torch.equal(a[name], b[name]) for name in a)


SHARED = tuple(f"backbone.conv{number}." for number in (1, 2, 3, 4))


def test_the_shared_layers_are_those_of_step_2(trained: Path) -> None:
    first, second, third, fourth = (trained / step / "last.pt" for step in STEPS)
    learnt = "backbone.conv3."
    assert not equal(weights(first, learnt), weights(second, learnt))
    for later in (third, fourth):
        assert equal(weights(later, *SHARED), weights(second, *SHARED))


def test_each_half_is_trained_twice_and_only_in_its_own_steps(trained: Path) -> None:
    first, second, third, fourth = (trained / step / "last.pt" for step in STEPS)
    head = ("roi_head.", "backbone.conv5.")
    assert equal(weights(third, *head), weights(second, *head))
    assert not equal(weights(fourth, "roi_head."), weights(second, "roi_head."))
    assert not equal(weights(third, "rpn."), weights(second, "rpn."))
    assert equal(weights(fourth, "rpn."), weights(third, "rpn."))
    assert not equal(weights(first, "rpn."), weights(third, "rpn."))


def test_each_step_leaves_what_it_measured(trained: Path) -> None:
    for step, (measure, losses) in zip(
        STEPS,
        [
            ("AR300", {"rpn_objectness", "rpn_box"}),
            ("AP", {"head_class", "head_box"}),
        ]
        * 2,
        strict=True,
    ):
        line, validation = read_log(trained / step / "log.jsonl")
        assert {name for name in line if name.startswith(("rpn", "head"))} == losses
        assert measure in validation
    assert (trained / STEPS[0] / "loss.png").is_file()


def test_the_result_is_an_ordinary_detector(trained: Path) -> None:
    assert Detector.load(trained / "best.pt").class_names == CLASS_NAMES
    assert "coco" in json.loads((trained / "metrics.json").read_text())
    assert (trained / "report.html").is_file()
    assert equal(weights(trained / "best.pt", ""), weights(trained / STEPS[3] / "last.pt", ""))


def test_a_run_killed_twice_is_taken_up_in_its_step_and_measured(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    whole_run, measure = TrainingRun.run, DetectionValidation.__call__

    def dies_in_step_3(run: TrainingRun) -> Any:
        steps.append(run.folder.name)
        if len(steps) == 3:
            raise KeyboardInterrupt
        return whole_run(run)

    def dies(validation: DetectionValidation) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "run", dies_in_step_3)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run")
    (tmp_path / "run" / "1_rpn" / "val_proposals.safetensors").unlink()
    # Of the steps that are left only the fourth measures AP.
    monkeypatch.setattr(DetectionValidation, "__call__", dies)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", "resume=true")
    assert steps == [*STEPS[:3], *STEPS[2:]]
    assert (tmp_path / "run" / "1_rpn" / "val_proposals.safetensors").is_file()
    assert not (tmp_path / "run" / "metrics.json").exists()
    monkeypatch.setattr(DetectionValidation, "__call__", measure)
    train(data, tmp_path / "run", "resume=true")
    metrics, expected = (
        json.loads((folder / "metrics.json").read_text())["coco"]
        for folder in (tmp_path / "run", trained)
    )
    assert metrics == expected
    assert equal(weights(tmp_path / "run" / "best.pt", ""), weights(trained / "best.pt", ""))


def test_a_step_that_others_are_built_on_is_not_trained_on(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    before = (tmp_path / "run" / "1_rpn" / "last.pt").read_bytes()
    with pytest.raises(ValueError, match=r"1_rpn is to be .* iteration 2, and .*2_fast_rcnn has"):
        train(data, tmp_path / "run", "resume=true", *LONGER)
    assert (tmp_path / "run" / "1_rpn" / "last.pt").read_bytes() == before


def test_a_step_that_is_trained_on_proposes_anew(
    trained: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained / "1_rpn", tmp_path / "run" / "1_rpn")
    whole_run = TrainingRun.run

    def dies_in_step_2(run: TrainingRun) -> Any:
        if run.folder.name == STEPS[1]:
            raise KeyboardInterrupt
        return whole_run(run)

    monkeypatch.setattr(TrainingRun, "run", dies_in_step_2)  # what is asked for is there by then
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", "resume=true", *LONGER)
    name = "1_rpn/train_proposals.safetensors"
    assert (tmp_path / "run" / name).read_bytes() != (trained / name).read_bytes()


@pytest.mark.parametrize(
    "override", ["train_only=rpn", "shared_fixed=true", "proposals=x.safetensors"]
)
def test_what_the_steps_decide_is_not_for_the_command_line(
    data: Path, tmp_path: Path, override: str
) -> None:
    with pytest.raises(ValueError, match="each of the four steps has its own"):
        train(data, tmp_path / "run", override)
    assert not (tmp_path / "run").exists()


def test_a_step_knows_which_half_it_has_trained(trained: Path, data: Path, tmp_path: Path) -> None:
    halves = [Checkpoint.load(trained / step / "last.pt").trained for step in STEPS]
    assert halves == [("rpn",), ("fast_rcnn",), ("rpn", "fast_rcnn"), ("rpn", "fast_rcnn")]
    assert Checkpoint.load(trained / "best.pt").trained == ("rpn", "fast_rcnn")
    with pytest.raises(ValueError, match="its Fast R-CNN has not been trained"):
        measure(trained / "1_rpn" / "best.pt", tmp_path, f"data.root={data}")
    with pytest.raises(ValueError, match="its RPN has not been trained"):
        measure(trained / "2_fast_rcnn" / "best.pt", tmp_path, f"data.root={data}")
    arguments = [*RUNTIME, f"data.root={data}", f"output={tmp_path / 'proposals'}"]
    half = f"checkpoint={trained}/2_fast_rcnn/last.pt"
    with pytest.raises(ValueError, match="its RPN has not been trained"):
        propose.main(compose_config("propose", [*arguments, half]))
    with pytest.raises(ValueError, match="proposals are of one RPN"):
        propose.main(compose_config("propose", [*arguments, "checkpoint=[a.pt,b.pt]"]))


def test_half_a_detector_stays_one_when_it_is_made_smaller(trained: Path, tmp_path: Path) -> None:
    arguments = [f"source={trained}/1_rpn/last.pt", f"output={tmp_path}/slim.pt"]
    import_weights.main(compose_config("import_weights", arguments))
    assert Checkpoint.load(tmp_path / "slim.pt").training == {"trained": ["rpn"]}
    with pytest.raises(ValueError, match="its Fast R-CNN has not been trained"):
        import_weights.main(
            compose_config("import_weights", [*arguments, "to=detectron2", "overwrite=true"])
        )


def test_what_was_trained_before_counts_only_on_layers_that_stay(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    for fixed, halves in (("true", ("rpn", "fast_rcnn")), ("false", ("rpn",))):
        arguments = [*SMALL, f"data.root={data}", f"output_dir={tmp_path / fixed}",
                     "train_only=rpn", f"init={trained}/best.pt",
                     f"shared_fixed={fixed}"]  # fmt: skip
        train_net.main(compose_config("train", arguments))
        assert Checkpoint.load(tmp_path / fixed / "last.pt").trained == halves


def test_a_step_without_its_measurement_is_no_obstacle_to_those_built_on_it(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    last = tmp_path / "run" / "1_rpn" / "last.pt"
    checkpoint = Checkpoint.load(last)
    replace(checkpoint, training=checkpoint.training | {"measured": False}).save(last)
    train(data, tmp_path / "run", "resume=true")
    assert not Checkpoint.load(last).training["measured"]


def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"best\.pt\): go on from it with resume=true"):
        train(data, trained)
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        train(data, tmp_path / "none", "resume=true")


def test_fast_rcnn_steps_have_a_schedule_of_their_own(tmp_path: Path) -> None:
    config = compose_config("alternating", ["data.root=x"])
    steps = four_steps(tmp_path)
    schedules = [train_alternating.step_config(step, config).schedule for step in steps]
    # He et al. 2015, appendix A: 8 images for the RPN, 16 for Fast R-CNN, at the same rate.
    assert [schedule.batch_size for schedule in schedules] == [8, 16, 8, 16]
    rates = [s.learning_rate.reference * s.batch_size / s.learning_rate.reference_batch
             for s in schedules]  # fmt: skip
    assert rates == [0.001] * 4
    assert {schedule.rules.iterations for schedule in schedules} == {320_000}
    assert all(schedule.learning_rate.milestones == [240_000] for schedule in schedules)


def test_fast_rcnn_steps_on_voc_are_half_as_long(tmp_path: Path) -> None:
    arguments = ["experiment=table7_voc07_resnet101", "data.root=x"]
    config = compose_config("alternating", arguments)
    schedules = [train_alternating.step_config(s, config).schedule for s in four_steps(tmp_path)]
    # py-faster-rcnn, train_faster_rcnn_alt_opt.py: max_iters; the step sizes of its solvers.
    assert [s.rules.iterations for s in schedules] == [80_000, 40_000, 80_000, 40_000]
    assert [list(s.learning_rate.milestones) for s in schedules] == [[60_000], [30_000]] * 2
    # Of a rate that falls in a straight line the end is the step's own, too.
    shorter = ["schedule=short", "schedule.fast_rcnn_length=0.1", "data.root=x"]
    short = compose_config("alternating", shorter)
    second = train_alternating.step_config(four_steps(tmp_path)[1], short).schedule
    assert (second.rules.iterations, second.learning_rate.iterations) == (100, 100)


def test_each_step_is_as_long_as_its_own_schedule_says(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run")
    for step in ("1_rpn", "3_rpn"):
        last = tmp_path / "run" / step / "last.pt"
        checkpoint = Checkpoint.load(last)
        replace(checkpoint, training=checkpoint.training | {"iteration": 2}).save(last)
    longer = ["resume=true", "resume_with_changes=true", "schedule.rules.iterations=2"]
    train(data, tmp_path / "run", *longer, "schedule.fast_rcnn_length=0.5")  # nothing is left to do
    with pytest.raises(ValueError, match=r"2_fast_rcnn is to be trained up to iteration 2"):
        train(data, tmp_path / "run", *longer)


def test_step_2_begins_from_the_first_weights_again(trained: Path) -> None:
    # The RPN is not trained in step 2: it shows what the step has begun from.
    first, second = (weights(trained / step / "last.pt", "rpn.") for step in STEPS[:2])
    assert not equal(first, second)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train_only=fast_rcnn"], r"give proposals=<\.safetensors>"),
        (
            ["train_only=fast_rcnn", "proposals={early}/train_proposals.safetensors"],
            "give val_proposals",
        ),
        (["train_only=rpn", "proposals=x"], "the RPN makes its own"),
        (["train_only=head"], "train_only='head': must be rpn or fast_rcnn, or null"),
        (
            [
                *("train_only=fast_rcnn", "shared_fixed=true"),
                "proposals={early}/val_proposals.safetensors",
            ],
            "of another data set or split",
        ),
    ],
)
def test_what_does_not_fit_is_said_before_training(
    trained: Path, data: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    filled = [override.format(early=trained / "1_rpn") for override in overrides]
    arguments = [*SMALL, f"data.root={data}", f"output_dir={tmp_path / 'run'}", *filled]
    with pytest.raises(ValueError, match=message):
        train_net.main(compose_config("train", arguments))
    assert not (tmp_path / "run").exists()


def test_the_tool_writes_the_same_proposals(trained: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "proposals.safetensors"
    arguments = [*RUNTIME, f"data.root={data}", f"output={output}", "data.shorter_sides=[64]"]
    propose.main(compose_config("propose", [*arguments, f"checkpoint={trained}/1_rpn/last.pt"]))
    assert output.read_bytes() == (trained / "1_rpn" / "train_proposals.safetensors").read_bytes()
    best = tmp_path / "best.pt"
    shutil.copy(trained / "best.pt", best)
    for words in ([f"checkpoint={best}"], [f"checkpoint={trained}/1_rpn/last.pt"]):
        words += [f"output={best}", "overwrite=true"]
        with pytest.raises(ValueError, match=r"is read, too|holds no proposals, and stays"):
            propose.main(compose_config("propose", [*RUNTIME, f"data.root={data}", *words]))


def test_a_detector_goes_on_with_other_classes_by_their_names(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    names = Checkpoint.load(trained / "best.pt").class_names
    other = list(reversed(names))[:2]
    arguments = [*SMALL, f"data.root={data}", f"output_dir={tmp_path}",
                 f"data.classes=[{','.join(other)}]", f"init={trained}/best.pt",
                 "schedule.learning_rate.reference=1e-30"]  # fmt: skip
    train_net.main(compose_config("train", arguments))
    for part in ("rpn.", "backbone."):
        assert equal(weights(tmp_path / "last.pt", part), weights(trained / "best.pt", part))
    before = weights(trained / "best.pt", "roi_head.logits.")
    after = weights(tmp_path / "last.pt", "roi_head.logits.")
    places = [0, *(names.index(name) + 1 for name in other)]
    for name, value in after.items():
        assert torch.equal(value, before[name][places])


def measure(checkpoint: Path, folder: Path, *overrides: str) -> dict[str, Any]:
    arguments = [*RUNTIME, f"checkpoint={checkpoint}", f"output_dir={folder}", *overrides]
    test_net.main(compose_config("test", arguments))
    return json.loads((folder / "metrics.json").read_text())


def test_proposals_are_measured_with_the_detector(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    metrics = measure(
        trained / "best.pt", tmp_path, f"data.root={data}", "proposal_recall=true",
        "submission=coco",
    )  # fmt: skip
    validation = read_log(trained / "3_rpn" / "log.jsonl")[-1]
    assert metrics["proposals"]["AR300"] == pytest.approx(validation["AR300"], abs=0.02)
    assert (tmp_path / "detections_val_detection_results.zip").is_file()
    with zipfile.ZipFile(tmp_path / "detections_val_detection_results.zip") as archive:
        packed = json.loads(archive.read("detections_val_detection_results.json"))
    assert packed == json.loads((tmp_path / "detections.json").read_text())


def test_fast_rcnn_is_measured_on_the_proposals_of_a_file(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    def detected(folder: Path, *overrides: str) -> list[dict[str, Any]]:
        measure(trained / "best.pt", folder, f"data.root={data}", "score_threshold=0.0", *overrides)
        found = json.loads((folder / "detections.json").read_text())
        assert isinstance(found, list)
        return found

    given = f"proposals_file={trained}/1_rpn/val_proposals.safetensors"
    on_file, own = detected(tmp_path / "a", given), detected(tmp_path / "b")
    assert on_file
    assert on_file != own
    assert (
        detected(tmp_path / "c", given, "inference=refine_vote") != on_file
    )  # the steps of inference
    with pytest.raises(ValueError, match="takes the place of a checkpoint's RPN"):
        measure(trained / "best.pt", tmp_path, f"data.root={data}", given, "proposal_recall=true")


def test_a_test_set_without_annotations_is_detected_in(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    year = tmp_path / "VOCdevkit" / "VOC2012"
    shutil.copytree(data / "VOC" / "JPEGImages", year / "JPEGImages")
    (year / "ImageSets" / "Main").mkdir(parents=True)
    names = sorted(path.stem for path in (year / "JPEGImages").iterdir())
    (year / "ImageSets" / "Main" / "test.txt").write_text("\n".join(names))
    metrics = measure(
        trained / "best.pt", tmp_path / "out", f"data.root={tmp_path}", "split=VOC2012/test",
        "submission=voc", "score_threshold=0.0",
    )  # fmt: skip
    assert not metrics.keys() & {"coco", "voc"}
    with tarfile.open(tmp_path / "out" / "results.tar.gz") as archive:
        members = archive.getnames()
        assert members == [f"results/VOC2012/Main/comp4_det_test_{n}.txt" for n in CLASS_NAMES]
        lines = [line for m in members for line in archive.extractfile(m) or ()]
    assert {line.split()[0].decode() for line in lines} == set(names)
    saved = ["checkpoint=null", f"detections={tmp_path / 'out' / 'detections.json'}"]
    measure(
        trained / "best.pt", tmp_path / "packed", *saved, f"data.root={tmp_path}",
        "split=VOC2012/test", "submission=voc", f"data.classes=[{','.join(CLASS_NAMES)}]",
    )  # fmt: skip
    with tarfile.open(tmp_path / "packed" / "results.tar.gz") as archive:
        assert archive.getnames() == members
        assert [line for m in members for line in archive.extractfile(m) or ()] == lines
    with pytest.raises(ValueError, match="is not annotated"):
        measure(trained / "best.pt", tmp_path / "out", f"data.root={tmp_path}",
                "split=VOC2012/test", "proposal_recall=true")  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["submission=voc"], "no folder VOC20xx"),
        (["submission=coco", "submission_name='my net'"], "submission_name 'my net' becomes part"),
        (["submission=coco", "max_images=1"], "max_images=1: with submission=coco"),
    ],
)
def test_a_submission_that_cannot_be_packed_is_refused_before_detecting(
    trained: Path, data: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(trained / "best.pt", tmp_path / "out", f"data.root={data}", *overrides)
    assert not (tmp_path / "out").exists()
