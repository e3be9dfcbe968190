"""The first weights where none are named, and the true reason where none can be had."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from detection.weights import first
from detection.weights.first import _is_reachable as is_reachable
from detection.weights.first import first_weights_here

NOWHERE = "http://no.such.host.invalid/detectron/model_final.pkl"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers the proxies


def test_a_server_is_reached_through_the_proxy(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    assert is_reachable(NOWHERE)
    assert server.asked == [NOWHERE]


@pytest.mark.parametrize(
    ("status", "there"), [(403, True), (405, True), (407, False), (502, False)]
)
def test_a_refusal_is_an_answer_but_not_that_of_a_proxy(
    server: Any, status: int, there: bool
) -> None:
    server.missing = status
    assert is_reachable(f"{server.address}/x.pkl") is there


def test_what_is_no_server_is_not_reached() -> None:
    assert not is_reachable(NOWHERE)
    assert not is_reachable("http://127.0.0.1:9/x.pkl")
    assert not is_reachable("http://[x/y.pkl")
    assert not is_reachable("nothing://of/the/kind")


def test_the_reason_says_what_is_wrong(
    server: Any, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTION_WEIGHTS", server.address)
    away = first_weights_here(fetch=True, is_reachable=lambda _: False)
    assert "none can be had (127.0.0.1 does not answer), so training starts" in away.reason

    name = first.PUBLISHED[first.DETECTOR].file().name
    server.files[name] = b"an error page"
    damaged = first_weights_here(fetch=True, is_reachable=lambda _: True)
    assert (damaged.detector, damaged.backbone) == (None, None)
    assert f"{server.address}/{name} is not the published file: its md5 begins" in damaged.reason
    assert "cannot be downloaded (HTTP Error 404" in damaged.reason  # the backbone
    assert "does not answer" not in damaged.reason

    monkeypatch.setenv("DETECTION_WEIGHTS", str(tmp_path))
    empty = first_weights_here(fetch=True, is_reachable=lambda _: pytest.fail("asked"))
    assert f"none can be had (DETECTION_WEIGHTS={tmp_path} has none)" in empty.reason


def test_the_second_best_is_taken_with_the_reason(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(name: str, *, kind: str) -> Path:
        if kind == "detector":
            raise OSError(28, "No space left on device")
        return Path(name)

    monkeypatch.setattr(first, "weights_file", no_room)
    found = first_weights_here(fetch=True, is_reachable=lambda _: True)
    assert found.backbone == first.BACKBONE
    assert "better ones cannot be had: [Errno 28] No space left on device" in found.reason
