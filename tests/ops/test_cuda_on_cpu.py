"""The CUDA kernels, run in loops on the CPU (cuda_on_cpu.h): must agree with the CPU's own.

They share only the geometry, so agreement means that two implementations say the same.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms as torchvision_nms

from detection.ops import extension
from tests.ops.test_nms import SETS

HERE = Path(__file__).parent
COMPILER = shutil.which("c++") or shutil.which("g++")

pytestmark = [
    pytest.mark.slow,  # compiles them
    pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler"),
    pytest.mark.skipif(isinstance(extension.cpu, str), reason="needs the compiled kernels"),
]

LAYOUTS = [torch.contiguous_format, torch.channels_last]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """torch.ops namespace of the CUDA kernels compiled for the CPU."""
    assert COMPILER is not None
    folder = tmp_path_factory.mktemp("cuda_on_cpu")
    (folder / "roi_build.h").write_text('#define ROI_BUILD "{}"\n')
    torch_folder = Path(torch.__file__).parent
    command = [COMPILER, "-std=c++20", "-O1", "-fPIC", "-shared", "-ffp-contract=off"]
    command += ["-fvisibility=hidden", "-DTORCH_TARGET_VERSION=0x020b000000000000ULL"]
    command += [f"-I{folder}", f"-I{extension.FOLDER / 'csrc'}"]
    command += ["-isystem", str(torch_folder / "include"), str(HERE / "cuda_on_cpu.cpp")]
    command += ["-o", str(folder / "kernels.so"), f"-L{torch_folder / 'lib'}"]
    subprocess.run([*command, "-ltorch", "-ltorch_cpu", "-lc10"], check=True)
    torch.ops.load_library(folder / "kernels.so")
    return torch.ops.roi_cuda_on_cpu


def some_rois() -> Tensor:
    """Random ones on and off the map, with .5 edges, and a few that cannot be pooled."""
    corners = torch.rand(40, 2, 2) * 300 - 60
    corners[:20] = (corners[:20] / 8).round() * 8
    images = torch.arange(40)[:, None] % 2
    rois = torch.cat((images, corners.amin(1), corners.amax(1)), 1)
    rois[5, 3], rois[6, 1], rois[7] = float("nan"), float("inf"), torch.tensor([0, 90, 90, 20, 20])
    return rois


def some_features(channels: int, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    return torch.randn(2, channels, 11, 14).to(dtype).contiguous(memory_format=layout)


def is_same(a: Tensor, b: Tensor) -> bool:
    return a.stride() == b.stride() and torch.equal(a.nan_to_num(7.5), b.nan_to_num(7.5))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "step"), [(16, 1), (24, 2), (5, 3), (1, 1)])
def test_forward(
    emulated: Any, layout: torch.memory_format, dtype: torch.dtype, channels: int, step: int
) -> None:
    features, rois = some_features(channels, dtype, layout), some_rois()
    arguments = (features, rois, 7, 5, 1 / 16, step)
    assert is_same(emulated.roi_pool(*arguments), torch.ops.detection.roi_pool(*arguments))
    pooled, argmax = emulated.roi_pool_argmax(*arguments)
    expected, expected_argmax = torch.ops.detection.roi_pool_argmax(*arguments)
    assert is_same(pooled, expected)
    assert torch.equal(argmax, expected_argmax)
    for ratio, aligned in ((0, True), (2, False)):
        arguments = (features, rois, 7, 5, 1 / 16, ratio, aligned, step)
        assert is_same(emulated.roi_align(*arguments), torch.ops.detection.roi_align(*arguments))


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("channels", "step"), [(16, 1), (24, 2), (5, 3), (1, 1)])
def test_backward(
    emulated: Any,
    layout: torch.memory_format,
    dtype: torch.dtype,
    channels: int,
    step: int,
    deterministic: bool,
) -> None:
    features, rois = some_features(channels, dtype, layout), some_rois()
    pooled, argmax = torch.ops.detection.roi_pool_argmax(features, rois, 7, 5, 1 / 16, step)
    grad = torch.randn(pooled.shape).to(dtype).contiguous(memory_format=layout)
    sizes = (2, 11, 14, 7, 5, 1 / 16)
    last = (step, layout == torch.channels_last, deterministic)
    results = [
        (library.roi_pool_backward(grad, argmax, rois, *sizes, *last),
         library.roi_align_backward(grad, rois, *sizes, 0, True, *last))
        for library in (emulated, torch.ops.detection)
    ]  # fmt: skip
    for ours, expected in zip(*results, strict=True):
        assert ours.stride() == expected.stride()
        # Both add in the order of the RoIs if asked to, else the kernel's order is arbitrary.
        if deterministic:
            assert torch.equal(ours, expected)
        else:
            torch.testing.assert_close(ours, expected)
    assert results[0][0].abs().sum() > 0


def test_backward_reads_any_strides(emulated: Any) -> None:
    features, rois = some_features(16, torch.float32, torch.channels_last), some_rois()
    _, argmax = torch.ops.detection.roi_pool_argmax(features, rois, 4, 4, 1 / 16, 1)
    sizes = (2, 11, 14, 4, 4, 1 / 16)
    for grad in (
        torch.randn(40, 16, 1, 1).expand(-1, -1, 4, 4),
        torch.randn(()).expand(40, 16, 4, 4),
        torch.randn(40, 18, 4, 4)[:, 1:17],
        torch.randn(40, 4, 4, 18).permute(0, 3, 1, 2)[:, 1:17],
    ):
        for name, arguments in (("roi_pool", (argmax, rois)), ("roi_align", (rois,))):
            options = () if name == "roi_pool" else (0, True)
            ours = getattr(emulated, f"{name}_backward")(
                grad, *arguments, *sizes, *options, 1, True, False
            )
            expected = getattr(torch.ops.detection, f"{name}_backward")(
                grad, *arguments, *sizes, *options, 1, True, False
            )
            torch.testing.assert_close(ours, expected)


def test_misaligned_and_sliced_features(emulated: Any) -> None:
    whole = torch.randn(2, 33, 11, 14).contiguous(memory_format=torch.channels_last)
    rois = some_rois()
    for features in (whole[:, 1:], whole[:, :32], whole[:, :, 1:9, 2:12], whole[1:]):
        boxes = torch.where(rois[:, :1] < len(features), rois, 0)
        arguments = (features, boxes, 7, 7, 1 / 16, 1)
        assert is_same(emulated.roi_pool(*arguments), torch.ops.detection.roi_pool(*arguments))


def test_images_that_are_not_there_pool_to_nan(emulated: Any) -> None:
    features = some_features(8, torch.float32, torch.channels_last)
    rois = torch.tensor([[2.0, 0, 0, 50, 50], [-1, 0, 0, 50, 50], [1, 0, 0, 50, 50]])
    pooled, argmax = emulated.roi_pool_argmax(features, rois, 3, 3, 1 / 16, 1)
    assert pooled[:2].isnan().all()
    assert pooled[2].isfinite().all()
    grad = emulated.roi_pool_backward(
        torch.ones_like(pooled), argmax, rois, 2, 11, 14, 3, 3, 1 / 16, 1, True, True
    )
    assert grad[0].abs().sum() == 0
    assert grad[1].sum() == 8 * 9


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize(("count", "limit"), [(200, 300), (200, 7), (64, 64), (65, 1), (1, 5)])
def test_survivors_of_a_batch(
    emulated: Any, kind: str, count: int, limit: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(count + limit)
    boxes = torch.stack([SETS[kind](count) for _ in range(3)]).to(dtype)
    usable = torch.rand(3, count) < 0.8
    usable[2] = False
    for threshold in (0.3, 0.5, 1 / 3, 0.7, 1.0):
        kept, found = emulated.first_survivors(boxes, usable, threshold, limit)
        assert kept.shape == (3, limit)
        assert found[2] == 0
        for image in range(3):
            index = usable[image].nonzero()[:, 0]
            falling = -torch.arange(len(index), dtype=dtype)
            expected = index[torchvision_nms(boxes[image][index], falling, threshold)][:limit]
            assert kept[image, : found[image]].equal(expected)
            assert not kept[image, found[image] :].any()


def test_survivors_of_nothing_and_of_what_they_do_not_take(emulated: Any) -> None:
    for images, count in ((0, 5), (2, 0)):
        boxes, usable = torch.zeros(images, count, 4), torch.ones(images, count).bool()
        kept, found = emulated.first_survivors(boxes, usable, 0.5, 3)
        assert kept.shape == (images, 3)
        assert found.tolist() == [0] * images
    boxes, usable = torch.zeros(1, 5, 4), torch.ones(1, 5).bool()
    for wrong in (
        (boxes[0], usable, 3),
        (boxes, usable[:, :4], 3),
        (boxes, usable.float(), 3),
        (boxes.half(), usable, 3),
        (boxes, usable, 0),
        (torch.zeros(1, 40_000, 4), torch.ones(1, 40_000).bool(), 3),
    ):
        with pytest.raises(RuntimeError):
            emulated.first_survivors(wrong[0], wrong[1], 0.5, wrong[2])


def test_a_box_that_is_not_finite_neither_suppresses_nor_is_suppressed(emulated: Any) -> None:
    boxes = torch.tensor([[[float("nan")] * 4, [0.0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5]]])
    usable = torch.ones(1, 4).bool()
    kept, found = emulated.first_survivors(boxes, usable, 0.5, 4)
    assert kept[0, : found[0]].tolist() == [0, 1, 3]
