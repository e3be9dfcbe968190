"""docs/serve.md says what the server does."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from detection.serving.answers import Question
from detection.serving.app import REFUSED

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text()


def block(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_the_lines_of_python_run(
    server: Any, picture: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("photo.jpg", picture(1))
    names: dict[str, Any] = {}
    exec(compile(block("python").replace(":8000", f":{server.port}"), "serve.md", "exec"), names)
    said = names["found"]
    assert said["detections"]
    shown: dict[str, Any] = {}
    exec(f"shown = {block('json')}", shown)
    assert said.keys() == shown["shown"].keys()
    assert said["image"].keys() == shown["shown"]["image"].keys()
    assert said["detections"][0].keys() == shown["shown"]["detections"][0].keys()


def test_the_lines_of_curl_ask_for_what_is_there(server: Any, png: Any) -> None:
    lines = [shlex.split(line) for line in block("sh").splitlines()]
    assert lines
    for words in lines:
        address = urlsplit(words[-1])
        query = re.sub(r"class=\w+", "class=cat", address.query)  # of the tiny detector
        assert server.detect(png(0), f"?{query}").status == 200
        assert address.path == "/detect"


def test_the_tables_are_whole(server: Any) -> None:
    keys = {field.alias or name for name, field in Question.model_fields.items()}
    assert keys == set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) - {"batch_size"}
    statuses = re.findall(r"^\| (\d{3}(?:, \d{3})*) \|", PAGE, re.MULTILINE)
    said = {int(status) for row in statuses for status in row.split(", ")}
    assert said == {*REFUSED, 404, 405}
    described = server.ask("GET", "/openapi.json").json["paths"]
    assert {f"GET {path}" for path in described if path != "/detect"} < {
        *re.findall(r"`(GET /[\w.]+)`", PAGE)
    }
    assert "post" in described["/detect"]


def test_a_picture_is_found_where_it_is_said_to_be(server: Any, picture: Any) -> None:
    """Boxes lie in the picture."""
    data = cv2.imencode(".png", picture(2, 70, 200))[1].tobytes()
    boxes = np.array([one["box"] for one in server.detect(data).json["detections"]])
    assert (boxes >= 0).all()
    assert (boxes <= [200, 70, 200, 70]).all()
