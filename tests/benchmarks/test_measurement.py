"""The benchmark in small: what it writes, and that its figures mean what they say."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from detection.benchmarks.benchmark import main
from detection.benchmarks.measurement import Case, Row, measure
from detection.benchmarks.table import as_markdown
from detection.cli.compose import compose_config

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
SMALL = ["ops.rois=5", "ops.channels=16", "ops.height=9", "ops.width=8", "device=cpu"]
SMALL += ["ops.candidates=300", "ops.proposals=20"]


@pytest.mark.slow
def test_ops_suite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(compose_config("benchmark", [*SMALL, "repeats=3", f"output_dir={tmp_path}"]))
    report = json.loads((tmp_path / "ops.json").read_text())
    rows = report["rows"]
    # 2 layouts x 2 operators x 2 steps x 3 kinds x (torchvision, float32, bfloat16), and NMS
    assert len(rows) == len({(row["name"], row["dtype"]) for row in rows}) == 2 * 2 * 2 * 3 * 3 + 2
    for row in rows:
        assert 0 < row["min_s"] <= row["median_s"] <= row["max_s"]
        assert (row["ratio"] is None) == row["name"].startswith("torchvision")
    assert report["copy_bytes_per_s"] > 1e8
    assert "| x fastest peer | of the limit |" in capsys.readouterr().out


def rows_of(cases: list[Case], *, repeats: int, warmup: int) -> list[Row]:
    return measure(cases, device=CPU, repeats=repeats, warmup=warmup, ceilings={}, bandwidth=1e9)


def test_ratio_is_the_peers_time_over_ours() -> None:
    cases = [
        Case("peer", "float32", lambda: time.sleep(0.03), peer=True),
        Case("ours", "float32", lambda: time.sleep(0.01), traffic=10**6),
    ]
    peer, ours = rows_of(cases, repeats=3, warmup=0)
    assert peer.ratio is None
    assert ours.ratio == pytest.approx(3, rel=0.3)
    # 1 MB at 1 GB/s takes 1 ms, a tenth of the time.
    assert ours.fraction_of_bandwidth == pytest.approx(0.1, rel=0.3)
    assert len(as_markdown([peer, ours]).splitlines()) == 4


def test_rehearsed_cases_run_once_more_before_each_timed_run() -> None:
    calls: list[str] = []
    cases = [
        Case("a", "float32", lambda: calls.append("a"), rehearsed=True),
        Case("b", "float32", lambda: calls.append("b")),
    ]
    rows_of(cases, repeats=3, warmup=0)
    # Memory, then three rounds in an order of their own, in which each run of a is two.
    assert calls[:2] == ["a", "b"]
    assert "".join(calls[2:]).replace("aa", "A").count("A") == 3
    assert len(calls) == 2 + 3 * 3


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_peak_memory() -> None:
    # In a process of its own: here it may find a place among what was freed.
    code = (
        "import torch; from detection.benchmarks.memory import peak_megabytes; "
        "print(peak_megabytes(lambda: torch.ones(128 << 20), torch.device('cpu')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    if done.stdout == "None\n":
        pytest.skip("not allowed here")
    assert 500 < float(done.stdout) < 560  # 512 MB


@pytest.mark.slow
def test_unknown_suite_and_layout() -> None:
    with pytest.raises(ValueError, match="must be ops, inference"):
        main(compose_config("benchmark", ["suite=opps", "device=cpu"]))
    with pytest.raises(ValueError, match="each channels_last or contiguous"):
        main(compose_config("benchmark", [*SMALL, "ops.layouts=[nhwc]"]))


def test_the_benchmark_of_the_gpu_script_is_understood() -> None:
    script = (ROOT / "tests" / "ops" / "gpu.sh").read_text(encoding="utf-8")
    (line,) = [line for line in script.splitlines() if "tools/benchmark.py" in line]
    assert compose_config("benchmark", shlex.split(line)[2:]).device == "cuda"


@pytest.mark.cuda
def test_ops_suite_on_cuda(tmp_path: Path) -> None:
    main(compose_config("benchmark", [*SMALL, "device=cuda", f"output_dir={tmp_path}"]))
    assert json.loads((tmp_path / "ops.json").read_text())["rows"]
