"""The page in a browser: drop, slide, switch, filter, save; and nothing leaves the machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.serving.page import Page

pytestmark = pytest.mark.slow

NAME = "a'\"<b>\u202e.png"  # quotes, markup and a change of direction


@pytest.fixture
def files(tmp_path: Path, picture: Callable[..., np.ndarray]) -> list[str]:
    found = []
    for number, name in enumerate((NAME, "wide.jpg")):
        path = tmp_path / name
        path.write_bytes(cv2.imencode(path.suffix, picture(number, 240, 320 + 200 * number))[1])
        found.append(str(path))
    return found


@pytest.fixture
def page(server: Any, open_page: Callable[..., Any], files: list[str]) -> Any:
    """With both pictures, answered."""
    found = open_page(server.address)
    found.set_input_files("#files", files)
    answered(found, 2)
    return found


def answered(page: Any, count: int) -> None:
    page.wait_for_function(
        "n => document.querySelectorAll('.card').length === n && "
        "[...document.querySelectorAll('.card')].every(c => c.dataset.shown)",
        arg=count,
    )


def shown(page: Any) -> list[int]:
    return [int(card.get_attribute("data-shown")) for card in page.query_selector_all(".card")]


def painted(page: Any, card: int = 0) -> int:
    """How many pixels of the layer over a picture are not clear."""
    return page.evaluate(
        """n => { const c = document.querySelectorAll('.card canvas')[n];
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        return d.filter((v, i) => i % 4 === 3 && v).length }""",
        card,
    )


def slide(page: Any, value: float) -> None:
    page.fill("#threshold", str(value))


def test_pictures_that_come_before_the_model_is_known_are_kept(
    server: Any, open_page: Callable[..., Any], files: list[str]
) -> None:
    page = open_page(server.address)
    held: list[Any] = []
    page.route("**/model", lambda route: held.append(route))
    with page.expect_request("**/model"):
        page.reload()
    page.set_input_files("#files", files)
    assert len(held) == 1
    assert page.locator(".card").count() == 0
    held[0].continue_()
    answered(page, 2)


def test_boxes_appear_and_the_slider_hides_them(server: Any, page: Any, files: list[str]) -> None:
    found = server.detect(Path(files[0]).read_bytes()).json["detections"]
    assert page.locator(".card h2").first.text_content() == NAME
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    slide(page, 0.05)
    assert shown(page)[0] == len(found)
    many = painted(page)
    middle = sorted(one["score"] for one in found)[len(found) // 2]
    limit = round(middle, 2)
    slide(page, limit)
    assert shown(page)[0] == sum(one["score"] >= limit for one in found)
    assert 0 < painted(page) < many
    slide(page, 1)
    assert shown(page)[0] == sum(one["score"] == 1 for one in found)
    assert not asked


def test_steps_are_switched(server: Any, page: Any, files: list[str]) -> None:
    slide(page, 0.05)
    for steps in ("refine_vote", "full", "single"):
        page.select_option("#steps", steps)
        answered(page, 2)
        for file, count in zip(files, shown(page), strict=True):
            said = server.detect(Path(file).read_bytes(), f"?steps={steps}").json
            assert count == len(said["detections"])


def test_classes_and_labels(page: Any) -> None:
    slide(page, 0.05)
    before = sum(shown(page))
    button = page.locator("#classes button").first
    count = int(button.text_content().rpartition(" ")[2])
    with_labels = painted(page)
    page.uncheck("#labels")
    assert painted(page) < with_labels
    button.focus()
    page.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") == "false"
    assert sum(shown(page)) == before - count
    page.keyboard.press("Enter")
    assert sum(shown(page)) == before


def saved(page: Any, selector: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.click(selector)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_what_is_saved_is_what_is_shown(
    server: Any, page: Any, files: list[str], tmp_path: Path
) -> None:
    slide(page, 0.3)
    plain = json.loads(saved(page, "#save-json", tmp_path).read_text())
    wanted = []
    for name, file in zip((NAME, "wide.jpg"), files, strict=True):
        said = server.detect(Path(file).read_bytes(), "?threshold=0.3").json
        wanted.append({"file_name": name, "threshold": 0.3, **said})
    for one in (*plain, *wanted):
        one.pop("seconds", None)
    assert plain == wanted
    coco = json.loads(saved(page, "#save-coco", tmp_path).read_text())
    assert len(coco) == sum(shown(page)) == sum(len(one["detections"]) for one in wanted)
    first = wanted[0]["detections"][0]
    x1, y1, x2, y2 = first["box"]
    assert coco[0] == {
        "image_id": 1,
        "category_id": first["category_id"],
        "bbox": pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.001),
        "score": first["score"],
        "file_name": NAME,
        "class_name": first["class"],
    }


def test_a_picture_with_its_boxes_is_saved(page: Any, files: list[str], tmp_path: Path) -> None:
    slide(page, 0.05)
    path = saved(page, ".card:nth-child(2) .save", tmp_path)
    assert path.name == "wide-detected.png"
    drawn, photo = cv2.imread(str(path)), cv2.imread(files[1])
    assert drawn.shape == photo.shape
    assert 0.005 < (np.abs(drawn.astype(int) - photo).max(axis=2) > 60).mean() < 0.9


def test_dropped_and_pasted_pictures(server: Any, open_page: Any, files: list[str]) -> None:
    page = open_page(server.address)
    data = [*Path(files[0]).read_bytes()]
    for count, kind in enumerate(("drop", "paste"), start=1):
        page.evaluate(
            """([kind, data]) => { const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(data)], 'x.png', {type: 'image/png'}));
            const more = kind === 'drop' ? {dataTransfer: held} : {clipboardData: held};
            const made = kind === 'drop' ? new DragEvent('drop', {bubbles: true, ...more})
                                         : new ClipboardEvent('paste', {bubbles: true, ...more});
            document.body.dispatchEvent(made); }""",
            [kind, data],
        )
        answered(page, count)


def test_what_is_refused_is_said_and_does_not_stay_in_the_way(
    server: Any, open_page: Any, files: list[str], tmp_path: Path
) -> None:
    bad = tmp_path / "text.jpg"
    bad.write_text("a text")
    said = server.detect(bad.read_bytes())
    page = open_page(server.address)
    # The browser says each refusal on its console, which open_page takes for an error.
    page.evaluate(
        """([status, said]) => { window.fetch = (real => async (url, options) =>
        options.body.name === 'text.jpg' ? new Response(said, {status}) : real(url, options)
        )(window.fetch) }""",
        [said.status, said.body.decode()],
    )
    page.set_input_files("#files", [str(bad), files[0]])
    page.wait_for_selector(".card:nth-child(1) .error:not([hidden])")
    assert page.text_content(".card:nth-child(1) .error") == said.json["error"]
    page.wait_for_function("() => document.querySelectorAll('.card')[1].dataset.shown")
    page.click(".card:nth-child(1) .remove")
    assert len(shown(page)) == 1
    page.click("#clear")
    assert shown(page) == []


def test_the_keyboard_reaches_everything(page: Any) -> None:
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("(e => e.id || e.className || e.tagName)(document.activeElement)")
        )
    assert {"files", "threshold", "steps", "labels", "save-json", "clear"} <= reached
    assert {"save", "remove", "SUMMARY"} <= reached
    page.focus("#threshold")
    before = page.input_value("#threshold")
    page.keyboard.press("ArrowRight")
    assert float(page.input_value("#threshold")) == pytest.approx(float(before) + 0.01)


def test_nothing_is_wider_than_a_phone(server: Any, open_page: Any, files: list[str]) -> None:
    page = open_page(server.address, width=360, height=740, device_scale_factor=2)
    page.set_input_files("#files", files)
    answered(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_title_is_text() -> None:
    assert "<title>&lt;b&gt;.pt</title>" in Page.made(title="<b>.pt").html
