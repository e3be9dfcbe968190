"""The learning rate."""

import pytest

from detection.engine.schedules import (
    ConstantWarmUp,
    DivideOnPlateau,
    LearningRate,
    LinearDecay,
)


@pytest.fixture
def schedule() -> LearningRate:
    return LearningRate(
        reference=0.02,
        reference_batch=16,
        batch_size=4,
        warmup_iterations=10,
        warmup_factor=0.1,
        milestones=[100, 150],
        decay=0.1,
    )


@pytest.mark.parametrize(
    ("iteration", "rate"),
    [
        (0, 0.0005),  # 0.02 * 4 / 16 = 0.005; a tenth of it at the start of the warm-up
        (5, 0.00275),  # half way: 0.005 * (0.1 * 0.5 + 0.5)
        (10, 0.005),
        (99, 0.005),
        (100, 0.0005),
        (150, 0.00005),
    ],
)
def test_rate_follows_warm_up_and_milestones(
    schedule: LearningRate, iteration: int, rate: float
) -> None:
    assert schedule(iteration) == pytest.approx(rate)


def test_the_rescaled_rate_is_printed(schedule: LearningRate) -> None:
    assert "0.005 for mini-batches of 4 (0.02 per 16)" in str(schedule)


def test_constant_warm_up_of_110_layers() -> None:
    schedule = ConstantWarmUp(
        reference=0.1,
        reference_batch=128,
        batch_size=128,
        warmup_iterations=400,
        warmup_factor=0.1,
        milestones=[32_000, 48_000],
        decay=0.1,
    )
    rates = [schedule(i) for i in (0, 399, 400, 31_999, 32_000, 48_000)]
    assert rates == pytest.approx([0.01, 0.01, 0.1, 0.1, 0.01, 0.001])


def test_linear_decay_ends_at_zero() -> None:
    schedule = LinearDecay(
        reference=1.0,
        reference_batch=2,
        batch_size=1,
        warmup_iterations=2,
        warmup_factor=0.0,
        iterations=10,
    )
    # Half of the rate for half of the batch; 1 - i / 10 of it; the first two warm up: 0 and 1/2.
    rates = [schedule(i) for i in (0, 1, 2, 5, 9, 10)]
    assert rates == pytest.approx([0.0, 0.5 * 0.9 * 0.5, 0.4, 0.25, 0.05, 0.0])
    assert "falling to zero at 10" in str(schedule)


def plateau() -> DivideOnPlateau:
    return DivideOnPlateau(
        reference=0.1,
        reference_batch=256,
        batch_size=256,
        warmup_iterations=0,
        warmup_factor=1.0,
        decay=0.1,
        patience=2,
        improvement=0.01,
    )


def test_the_rate_is_divided_when_the_error_plateaus() -> None:
    schedule = plateau()
    rates = []
    # Lower; not lower by 0.01, twice: a plateau; lower; twice not: another one.
    for error in (0.9, 0.5, 0.495, 0.6, 0.4, 0.4, 0.395, 0.395):
        schedule.observe({"error": error, "seconds_per_image": 1.0})
        rates.append(schedule(1000))
    assert rates == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001, 0.001])


def test_a_resumed_plateau_schedule_goes_on_as_it_was() -> None:
    first, resumed = plateau(), plateau()
    for error in (0.5, 0.5):
        first.observe({"error": error})
    resumed.restore(first.state())
    for schedule in (first, resumed):
        schedule.observe({"error": 0.5})
    assert resumed(0) == first(0) == pytest.approx(0.01)
    assert plateau()(0) == 0.1  # nothing is shared between schedules
