"""Published files are had whole, with the published hash, or with one line that helps."""

from __future__ import annotations

import hashlib
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch.hub

from detection.weights import download
from detection.weights.cache import hub_folder
from detection.weights.download import published_file
from detection.weights.published import PUBLISHED, Published, PublishedFile

CONTENT = bytes(range(256)) * 1000


@pytest.fixture
def row(server: Any) -> Published:
    server.files["model_final_x.pkl"] = CONTENT
    digest = hashlib.md5(CONTENT).hexdigest()[:6]
    file = PublishedFile(f"{server.address}/model_final_x.pkl", "md5", digest)
    return replace(PUBLISHED["coco_r50_c4"], location=file)


def fetched(row: Published, tmp_path: Path) -> bytes:
    with published_file(row, work=tmp_path / "work") as path:
        assert path.name == "model_final_x.pkl"
        return path.read_bytes()


@pytest.mark.parametrize("variable", ["TORCH_HOME", "XDG_CACHE_HOME", None])
def test_the_cache_is_that_of_torch_hub(
    monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if variable:
        monkeypatch.setenv(variable, "~/elsewhere")
    expected = Path(torch.hub.get_dir()) / "checkpoints"
    assert hub_folder() == expected
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "torch")
        assert hub_folder() == expected
    assert "~" not in str(expected)


def test_a_folder_that_the_program_has_set_is_the_cache(tmp_path: Path) -> None:
    before = torch.hub._hub_dir
    try:
        torch.hub.set_dir(tmp_path)
        assert hub_folder() == tmp_path / "checkpoints"
    finally:
        torch.hub._hub_dir = before


def test_a_whole_download_is_yielded_and_removed(
    row: Published, cache: Path, tmp_path: Path
) -> None:
    assert fetched(row, tmp_path) == CONTENT
    assert not (tmp_path / "work").exists()


def test_the_time_out_is_that_of_one_download_alone(
    row: Published, cache: Path, server: Any, tmp_path: Path
) -> None:
    before = socket.getdefaulttimeout()
    server.released.clear()
    loading = threading.Thread(target=fetched, args=(row, tmp_path))
    loading.start()
    while not server.asked:
        time.sleep(0.01)
    meanwhile = socket.getdefaulttimeout()
    server.released.set()
    loading.join()
    assert meanwhile == before


def test_without_a_length_the_hash_is_enough(
    row: Published, cache: Path, server: Any, tmp_path: Path
) -> None:
    server.with_length = False
    assert fetched(row, tmp_path) == CONTENT
    server.cut_after = 1000
    with pytest.raises(ValueError, match="is not the published file: its md5 begins with"):
        fetched(row, tmp_path)


@pytest.mark.parametrize("has_hash", [True, False])
def test_a_cut_download_is_no_file(
    row: Published, cache: Path, server: Any, tmp_path: Path, has_hash: bool
) -> None:
    server.cut_after = 1000
    if not has_hash:
        row = replace(row, location=PublishedFile(row.file().address, None, None))
    with pytest.raises(ValueError, match=r"cut after 1000 of 256000 bytes") as error:
        fetched(row, tmp_path)
    address, by_hand = f"{server.address}/model_final_x.pkl", cache / "model_final_x.pkl"
    assert f"{address} cannot be downloaded" in str(error.value)
    assert f"put it at {by_hand}" in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "work").exists()
    assert not by_hand.exists()


def test_another_file_is_refused_by_its_hash(
    row: Published, cache: Path, server: Any, tmp_path: Path
) -> None:
    server.files["model_final_x.pkl"] = CONTENT[:-1] + b"x"
    with pytest.raises(ValueError, match=r"model_final_x\.pkl is not the published file: its md5"):
        fetched(row, tmp_path)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("sent", [0, 5000])
def test_a_silent_server_is_left_after_a_while(
    row: Published,
    cache: Path,
    server: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sent: int,
) -> None:
    monkeypatch.setattr(download, "SECONDS_OF_SILENCE", 0.2)
    server.silent_after = sent
    with pytest.raises(ValueError, match=r"\(the server says nothing for 0\.2 s\)"):
        fetched(row, tmp_path)


def test_without_a_network_one_line_says_what_to_fetch(
    row: Published, cache: Path, tmp_path: Path
) -> None:
    address = "http://127.0.0.1:9"  # where nobody listens
    row = replace(row, location=PublishedFile(f"{address}/r.pkl", "md5", "0"))
    with pytest.raises(ValueError, match=r"\(\[Errno \d+\] Connection refused\)") as error:
        fetched(row, tmp_path)
    assert f"{address}/r.pkl cannot be downloaded" in str(error.value)
    assert f"put it at {cache / 'r.pkl'}" in str(error.value)
    assert "DETECTION_WEIGHTS" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_was_put_there_by_hand_is_taken_and_stays(
    row: Published, cache: Path, server: Any, tmp_path: Path
) -> None:
    cache.mkdir(parents=True)
    here = cache / "model_final_x.pkl"
    here.write_bytes(CONTENT)
    assert fetched(row, tmp_path) == CONTENT
    assert here.is_file()
    assert server.asked == []
    here.write_bytes(CONTENT[:1000])
    with pytest.raises(ValueError, match=f"{here} is not the published file.*remove it"):
        fetched(row, tmp_path)


def test_a_folder_is_a_mirror(
    row: Published, cache: Path, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DETECTION_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match=r"has no model_final_x\.pkl; it is published at http"):
        fetched(row, tmp_path)
    (tmp_path / "model_final_x.pkl").write_bytes(CONTENT)
    assert fetched(row, tmp_path) == CONTENT
    assert (tmp_path / "model_final_x.pkl").is_file()
    assert server.asked == []


def test_an_address_is_a_mirror(
    row: Published, cache: Path, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_elsewhere = PublishedFile(
        "http://no.such.host.invalid/a/model_final_x.pkl", "md5", row.file().digest
    )
    server.files["mirror/model_final_x.pkl"] = CONTENT
    monkeypatch.setenv("DETECTION_WEIGHTS", f"{server.address}/mirror/")
    assert fetched(replace(row, location=published_elsewhere), tmp_path) == CONTENT
    assert set(server.asked) == {"/mirror/model_final_x.pkl"}
    monkeypatch.setenv("DETECTION_WEIGHTS", f"{server.address}/empty")
    with pytest.raises(ValueError, match="404") as error:
        fetched(row, tmp_path)
    assert f"{server.address}/empty/model_final_x.pkl cannot be downloaded" in str(error.value)
