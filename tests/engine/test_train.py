"""The training loop: what it must do exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from detection.classification.cifar import CifarResNet
from detection.classification.classifier import Classifier
from detection.classification.loader import LabelledBatch
from detection.data.loader import Batch
from detection.engine.distributed import Processes
from detection.engine.log import TrainingLog, read_log
from detection.engine.optimizers import sgd
from detection.engine.schedules import DivideOnPlateau, LearningRate, Schedule
from detection.engine.train import MiniBatch, TrainingRules, _distribute, train
from detection.model.faster_rcnn import FasterRCNN
from detection.model.pixels import PerPixelMean
from detection.model.resnet import ResNet
from detection.structures import ImageBatch, Metrics, Target

ITERATIONS = 4


@dataclass
class Run:
    """One training of a small detector on noise, and what it did besides."""

    model: nn.Module
    optimizer: torch.optim.Optimizer = field(init=False)
    saved: list[tuple[int, Metrics | None]] = field(default_factory=list)
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        self.optimizer = sgd(
            self.model,
            momentum=0.9,
            weight_decay=1e-4,
            bias_rate_factor=2.0,
            bias_weight_decay=0.0,
            norm_weight_decay=0.0,
        )

    def go(
        self,
        batches: Sequence[MiniBatch],
        *,
        start: int = 0,
        stop: int = ITERATIONS,
        accumulate: int = 1,
        log: TrainingLog | None = None,
        evaluate_every: int = 0,
        clip_norm: float | None = 1.0,
        rate: float = 0.002,
        log_every: int = 1,
        update_bn_statistics: Callable[[], None] | None = None,
        not_validated: bool = False,
    ) -> None:
        train(
            network=self.model,
            batches=batches[start:stop],
            optimizer=self.optimizer,
            learning_rate=self.schedule
            or LearningRate(
                reference=rate,
                reference_batch=2,
                batch_size=2,
                warmup_iterations=0,
                warmup_factor=1.0,
                milestones=[3],
                decay=0.1,
            ),
            rules=TrainingRules(
                iterations=ITERATIONS,
                accumulate=accumulate,
                clip_norm=clip_norm,
                log_every=log_every,
                evaluate_every=evaluate_every,
                checkpoint_every=2,
                patience=None,
                ema_decay=None,
            ),
            start=start,
            seed=3,
            device=torch.device("cpu"),
            precision="fp32",
            processes=Processes(0, 1, 0),
            log=log,
            validate=lambda: {"AP": 0.5, "AP50": 0.5, "error": 0.5},
            save=lambda done, metrics: self.saved.append((done, metrics)),
            update_bn_statistics=update_bn_statistics,
            not_validated=not_validated,
        )

    def weights(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}


@pytest.fixture
def batches(image_batch: Callable[..., ImageBatch], target: Callable[..., Target]) -> list[Batch]:
    objects = [
        target([[8, 8, 40, 40], [30, 20, 60, 62]], labels=[1, 2]),
        target([[20, 10, 50, 50]], labels=[3]),
    ]
    return [Batch(image_batch((64, 72), (64, 64), seed=i), objects) for i in range(ITERATIONS)]


def fresh(build: Callable[..., FasterRCNN], **settings: object) -> Run:
    torch.manual_seed(5)
    return Run(build(pooled_size=4, **settings))


@pytest.mark.slow
def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    whole = fresh(detector)
    whole.go(batches)

    first = fresh(detector)
    first.go(batches, stop=2)
    second = fresh(detector)
    second.model.load_state_dict(first.weights())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    torch.manual_seed(99)  # whatever happened to the process in between
    second.go(batches, start=2)

    for name, value in whole.weights().items():
        assert torch.equal(second.weights()[name], value), name
    assert not torch.equal(
        first.weights()["roi_head.logits.weight"], whole.weights()["roi_head.logits.weight"]
    )


@pytest.mark.slow
def test_accumulated_parts_have_the_gradient_of_the_whole_mini_batch(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    # Everything is sampled, so that nothing depends on the order of the random numbers.
    everything = {
        "anchors_per_image": 10_000,
        "regions_per_image": 10_000,
        "foreground_fraction": 1.0,
    }
    gradients = []
    for accumulate in (1, 2):
        run = fresh(detector, **everything)
        run.go(batches[:1], stop=1, accumulate=accumulate, clip_norm=None)
        gradients.append({n: p.grad for n, p in run.model.named_parameters() if p.requires_grad})
    whole, parts = gradients
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_gradients_are_clipped_to_the_norm(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    run = fresh(detector)
    run.go(batches[:1], stop=1, clip_norm=0.01)
    squares = [p.grad.square().sum() for p in run.model.parameters() if p.grad is not None]
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.slow
def test_log_evaluation_and_checkpoints_come_when_they_are_due(
    detector: Callable[..., FasterRCNN], batches: list[Batch], tmp_path: Path
) -> None:
    run = fresh(detector)
    log = TrainingLog(tmp_path, start=0)
    run.go(batches, log=log, evaluate_every=3)
    log.close()
    lines = read_log(tmp_path / "log.jsonl")
    assert [(line["iteration"], line["kind"]) for line in lines] == [
        *((1, "train"), (2, "train"), (3, "train"), (3, "validation")),
        *((4, "train"), (4, "validation")),
    ]
    first = lines[0]
    parts = ("rpn_objectness", "rpn_box", "head_class", "head_box")
    assert first["total"] == pytest.approx(sum(first[name] for name in parts), rel=1e-5)
    assert [line["learning_rate"] for line in lines if line["kind"] == "train"] == pytest.approx(
        [0.002, 0.002, 0.002, 0.0002]
    )
    # checkpoint_every=2; before each evaluation, which may fail, and after it.
    measured = {"AP": 0.5, "AP50": 0.5, "error": 0.5}
    assert run.saved == [(2, None), (3, None), (3, measured), (4, None), (4, measured)]
    assert (tmp_path / "loss.png").stat().st_size > 1000


def labelled_batches() -> list[LabelledBatch]:
    generator = torch.Generator().manual_seed(1)
    return [
        LabelledBatch(
            torch.randint(0, 256, (4, 16, 16, 3), generator=generator, dtype=torch.uint8),
            torch.randint(0, 3, (4,), generator=generator),
        )
        for _ in range(ITERATIONS)
    ]


@dataclass
class ClassifierRun(Run):
    """The same training of a small classifier."""

    schedule: Schedule = field(
        default_factory=lambda: DivideOnPlateau(
            reference=0.05,
            reference_batch=4,
            batch_size=4,
            warmup_iterations=0,
            warmup_factor=1.0,
            decay=0.1,
            patience=1,
            improvement=0.01,
        )
    )


def fresh_classifier() -> ClassifierRun:
    torch.manual_seed(5)
    backbone = CifarResNet(depth=8, widths=[4, 4, 8], shortcut="A", norm="trained")
    return ClassifierRun(Classifier(pixels=PerPixelMean(side=16), backbone=backbone, num_classes=3))


def test_a_classifier_is_trained_and_resumed_bit_for_bit_by_the_same_loop() -> None:
    batches = labelled_batches()
    whole = fresh_classifier()
    whole.go(batches, evaluate_every=1)
    assert whole.schedule.state() == [0.5] * ITERATIONS

    first = fresh_classifier()
    first.go(batches, stop=2, evaluate_every=1)
    second = fresh_classifier()
    second.model.load_state_dict(first.weights())
    second.optimizer.load_state_dict(first.optimizer.state_dict())
    second.schedule.restore(first.schedule.state())
    second.go(batches, start=2, evaluate_every=1)
    for name, value in whole.weights().items():
        assert torch.equal(second.weights()[name], value), name
    assert not torch.equal(first.weights()["fc.weight"], whole.weights()["fc.weight"])
    # The running averages of BN are part of it.
    assert int(second.weights()["backbone.conv1.bn.num_batches_tracked"]) == ITERATIONS


def test_the_plateau_seen_in_a_validation_lowers_the_rate_from_then_on(tmp_path: Path) -> None:
    run = fresh_classifier()
    log = TrainingLog(tmp_path, start=0)
    run.go(labelled_batches(), evaluate_every=1, log=log)
    log.close()
    train = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "train"]
    # The first validation sets the mark, the second and the third are no lower.
    assert [line["learning_rate"] for line in train] == pytest.approx([0.05, 0.05, 0.005, 0.0005])
    assert all(0 <= line["error"] <= 1 for line in train)
    assert train[0]["images_per_second"] == pytest.approx(
        4 / train[0]["seconds_per_iteration"], rel=0.1
    )


def test_accumulated_parts_of_a_classifiers_mini_batch(
    with_random_bn: Callable[[nn.Module], None],
) -> None:
    # With fixed BN: statistics of a part are not those of the whole.
    gradients = []
    for accumulate in (1, 4):
        torch.manual_seed(5)
        backbone = CifarResNet(depth=8, widths=[4, 4, 8], shortcut="A", norm="frozen")
        run = ClassifierRun(
            Classifier(pixels=PerPixelMean(side=16), backbone=backbone, num_classes=3)
        )
        torch.manual_seed(6)
        with_random_bn(run.model)
        run.go(labelled_batches()[:1], stop=1, accumulate=accumulate, clip_norm=None)
        gradients.append({n: p.grad for n, p in run.model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-4, atol=1e-5, msg=name)


def test_a_loss_that_is_no_number_ends_training_with_the_remedy(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    run = fresh(detector)
    with pytest.raises(FloatingPointError, match=r"diverged.*learning_rate"):
        run.go(batches, rate=1e12, clip_norm=None)


def test_weights_that_are_no_numbers_are_not_saved(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    run = fresh(detector)
    with pytest.raises(FloatingPointError, match="at iteration 2"):
        run.go(batches, rate=1e12, clip_norm=None, log_every=0)
    assert not run.saved


def test_a_finite_loss_does_not_save_weights_that_are_not(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    run = fresh(detector)
    weight = next(p for p in run.model.parameters() if p.requires_grad)
    weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(FloatingPointError, match=r"not finite after iteration 1 .*the loss was"):
        run.go(batches, clip_norm=None, evaluate_every=1)
    assert not run.saved


@pytest.mark.parametrize(
    ("start", "unmeasured", "expected"),
    [
        (4, True, [4]),  # killed in the last validation
        (4, False, []),
        (2, True, [2, 4]),  # in one on the way
        (2, False, [4]),
        (3, True, [4]),  # none was due
    ],
)
@pytest.mark.slow
def test_a_run_that_was_killed_while_it_was_measured_is_measured_when_it_goes_on(
    detector: Callable[..., FasterRCNN],
    batches: list[Batch],
    start: int,
    unmeasured: bool,
    expected: list[int],
) -> None:
    run = fresh(detector)
    run.go(batches, start=start, evaluate_every=2, not_validated=unmeasured)
    assert [done for done, metrics in run.saved if metrics] == expected
    # The optimizer is saved as the run in peace leaves it: with the rate of its last step.
    assert run.optimizer.param_groups[0]["lr"] == pytest.approx(0.0002)


def test_a_resumed_log_has_no_line_twice(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path, start=0)
    for iteration in (1, 2, 3):
        log.write(iteration, "train", {"total": float(iteration)})
    with log.path.open("a") as file:
        file.write('{"iteration": 4, "ki')  # killed while writing
    TrainingLog(tmp_path, start=2).write(3, "train", {"total": 30.0})
    lines = read_log(tmp_path / "log.jsonl")
    assert [(line["iteration"], line["total"]) for line in lines] == [(1, 1.0), (2, 2.0), (3, 30.0)]


@pytest.mark.slow
def test_bn_statistics_are_updated_before_each_validation(
    detector: Callable[..., FasterRCNN], batches: list[Batch]
) -> None:
    run = fresh(detector)
    updated: list[int] = []
    run.go(batches, evaluate_every=3, update_bn_statistics=lambda: updated.append(len(run.saved)))
    # Saved after 2, 3 (before and after measuring) and 4 (twice): updated between the two.
    assert [done for done, _ in run.saved] == [2, 3, 3, 4, 4]
    assert updated == [2, 4]


def test_bn_that_learns_in_several_processes_needs_gpus(
    detector: Callable[..., FasterRCNN],
) -> None:
    learning = ResNet(depth=18, stride_in_1x1=False, norm="trained", frozen_stages=[], bin_step=1)
    with pytest.raises(ValueError, match=r"BN that learns .* model\.backbone\.norm=frozen"):
        _distribute(detector(backbone=learning), Processes(0, 2, 0))
