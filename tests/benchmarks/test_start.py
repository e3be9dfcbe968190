"""The suite of cold starts: each figure stands beside import torch alone."""

from __future__ import annotations

import pytest
import torch

from detection.benchmarks.suites import start


def test_import_torch_alone_is_the_peer_of_every_start(monkeypatch: pytest.MonkeyPatch) -> None:
    run: list[tuple[str, ...]] = []
    monkeypatch.setattr(start, "_program", lambda *words, ends_with=0: lambda: run.append(words))
    groups = list(
        start.cases(device=torch.device("cpu"), detectors={}, height=8, width=8, classes=1, seed=0)
    )
    assert [[case.name for case in group] for group in groups] == [
        ["import torch", "--help", "--help all", "typing error"],
        ["import torch"],  # and the detectors, of which there are none here
    ]
    for torch_alone, *ours in groups:
        assert torch_alone.peer
        assert not any(case.peer for case in ours)
        torch_alone.run()
    assert run == 2 * [("-c", "import torch")]
