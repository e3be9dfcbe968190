"""The gallery of a page, in a browser: what it shows, hides and opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from detection.report.content import Picture, Report
from detection.report.page import write_report
from detection.report.self_contained import self_contained

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(example_report: Callable[..., Report]) -> Report:
    return example_report(classes=12, pictures=15)


@pytest.fixture(scope="module")
def page(pages: Any, report: Report, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One page for all tests, each of which begins without filters."""
    path = tmp_path_factory.mktemp("gallery") / "report.html"
    write_report(path, report)
    with pages() as open_it:
        opened = open_it(path.as_uri() + "#gallery", height=4000)
        opened.locator(".card img").nth(14).wait_for()
        yield opened


@pytest.fixture(autouse=True)
def _without_filters(page: Any) -> None:
    if page.locator("dialog[open]").count():
        page.keyboard.press("Escape")
    reset = page.get_by_text("Reset filters")
    if reset.is_visible():
        reset.click()


def boxes(picture: Picture, report: Report) -> list[Any]:
    """Those at the report's score."""
    return [
        box
        for box in (*picture.objects, *picture.detections)
        if box.score is None or box.score >= report.score
    ]


def shown(page: Any) -> int:
    count = page.locator(".cards > li:visible").count()
    assert page.locator(".gallery-state [role=status]").inner_text().startswith(f"{count} of 15 ")
    return count


def seen(page: Any, layer: str) -> int:
    return page.locator(f".cards .box[data-layer={layer}]:visible").count()


def test_every_box_from_the_reports_score_on_is_drawn(page: Any, report: Report) -> None:
    assert shown(page) == 15
    assert seen(page, "objects") == sum(len(one.objects) for one in report.pictures)
    expected = sum(len(boxes(one, report)) - len(one.objects) for one in report.pictures)
    assert seen(page, "detections") == expected


def test_a_box_lies_where_it_is_in_the_picture(page: Any, report: Report) -> None:
    picture = report.pictures[0]
    x1, y1, x2, _ = picture.objects[0].box
    image = page.locator(".card img").first.bounding_box()
    rect = page.locator(".card").first.locator(".box[data-layer=objects] .edge").first
    drawn = rect.evaluate("one => { const b = one.getBBox(); return [b.x, b.y, b.width]; }")
    scale = image["width"] / picture.width
    assert image["height"] == pytest.approx(picture.height * scale, abs=1)
    assert drawn == pytest.approx([x1 * scale, y1 * scale, (x2 - x1) * scale], abs=0.5)


def test_layers_and_labels_are_shown_and_hidden(page: Any) -> None:
    controls = page.locator(".gallery-controls")
    for layer, other in (("objects", "detections"), ("detections", "objects")):
        toggle = controls.locator(f"[data-toggle={layer}]")
        before = seen(page, other)
        toggle.click()
        assert (seen(page, layer), seen(page, other)) == (0, before)
        assert toggle.get_attribute("aria-pressed") == "false"
        toggle.click()
        assert seen(page, layer) > 0
    words = page.locator(".cards .box text:visible")
    assert words.count() == 0
    controls.locator("[data-toggle=labels]").click()
    # Those that would lie on others are left out.
    assert 0 < words.count() <= seen(page, "objects") + seen(page, "detections")
    controls.locator("[data-toggle=labels]").click()


def test_pictures_are_filtered_by_class(page: Any, report: Report) -> None:
    name = report.classes[3].name
    page.get_by_label("Class", exact=True).first.select_option(name)
    having = [p for p in report.pictures if any(b.name == name for b in boxes(p, report))]
    assert 0 < shown(page) == len(having) < 15
    names = page.locator(".cards .box:visible").evaluate_all("all => all.map(b => b.dataset.name)")
    assert set(names) == {name}


def test_pictures_are_filtered_by_verdict_and_by_choice(page: Any, report: Report) -> None:
    page.locator("[data-verdict=missed]").first.click()
    having = [p for p in report.pictures if any(o.verdict == "missed" for o in p.objects)]
    assert 0 < shown(page) == len(having) < 15
    assert seen(page, "detections") == 0
    page.get_by_label("Why a picture is here").select_option("random")
    assert shown(page) == sum(one.choice == "random" for one in having)


def test_the_slider_hides_detections_below_it(page: Any, report: Report) -> None:
    slider = page.get_by_label("Least score of detections")
    before = seen(page, "objects")
    slider.fill("0.8")
    sure = [d for one in report.pictures for d in one.detections if (d.score or 0) >= 0.8]
    assert seen(page, "detections") == len(sure) > 0
    assert seen(page, "objects") == before
    assert page.locator(".gallery-controls output").inner_text() == "0.80"
    slider.press("ArrowRight")
    assert page.locator(".gallery-controls output").inner_text() == "0.81"


def test_the_large_view_goes_on_with_the_arrows(page: Any, report: Report) -> None:
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    title = page.locator("dialog header .name")
    assert title.inner_text() == report.pictures[0].file_name
    page.keyboard.press("ArrowLeft")  # there is none before
    page.keyboard.press("ArrowRight")
    second = page.locator("dialog header .name", has_text=report.pictures[1].file_name)
    second.wait_for()  # a busy machine answers a key a moment later
    rows = page.locator("dialog tbody tr[tabindex]")
    assert rows.count() == len(boxes(report.pictures[1], report))
    page.keyboard.press("1")
    assert page.locator("dialog .box[data-layer=objects]:visible").count() == 0
    page.keyboard.press("1")
    words = page.locator("dialog .box text:visible")
    assert words.count() > 0
    page.keyboard.press("l")
    assert words.count() == 0
    page.keyboard.press("l")
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    # The focus is where one has come to.
    page.wait_for_function(
        "name => document.activeElement.querySelector('.name')?.textContent === name",
        arg=report.pictures[1].file_name,
    )


def test_no_words_lie_on_others(page: Any) -> None:
    page.locator(".card").nth(2).click()
    frames = page.locator("dialog .box text:visible").evaluate_all(
        """all => all.map(one => one.getBBox()).map(
            box => [box.x, box.y, box.x + box.width, box.y + box.height])"""
    )
    assert len(frames) > 3
    for number, (x1, y1, x2, y2) in enumerate(frames):
        for left, top, right, bottom in frames[:number]:
            assert x2 <= left or right <= x1 or y2 <= top or bottom <= y1
    hidden = page.locator("dialog .box text:not(:visible)")
    assert hidden.count() > 0  # or the test could not fail


def test_a_row_of_the_large_view_points_at_its_box(page: Any) -> None:
    page.locator(".card").first.click()
    page.locator("dialog tbody tr[tabindex]").nth(1).focus()
    assert page.locator("dialog .box.pointed").count() == 1
    page.locator("dialog tbody tr[tabindex]").nth(1).blur()
    assert page.locator("dialog .box.pointed").count() == 0


def test_other_pages_show_boxes_without_verdicts_and_scores(
    open_page: Callable[..., Any], report: Report, tmp_path: Path
) -> None:
    pictures = [asdict(one) for one in report.pictures[:3]]
    for one in pictures:
        one["truth"] = [{"name": o["name"], "box": o["box"]} for o in one.pop("objects")]
        del one["choice"], one["detections"]
    scripts, styles = ["elements.js", "gallery.js"], ["base.css", "gallery.css"]
    html = self_contained(
        "base.html.j2", styles=styles, scripts=scripts, data={"pictures": pictures}
    )
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = open_page((tmp_path / "page.html").as_uri())
    page.evaluate("""() => gallery(document.body, {
        ...pageData(), layers: [{key: "truth", title: "Ground truth"}]})""")
    page.locator(".card img").nth(2).wait_for()
    assert seen(page, "truth") == sum(len(one["truth"]) for one in pictures)
    assert page.locator("input[type=range], [data-verdict=any], .swatch:visible").count() == 0
    name = pictures[0]["truth"][0]["name"]
    page.get_by_label("Class", exact=True).first.select_option(name)
    having = sum(any(o["name"] == name for o in one["truth"]) for one in pictures)
    assert page.locator("[role=status]").inner_text() == f"{having} of 3 shown"
    page.locator(".card:visible").first.click()
    assert page.locator("dialog tbody tr[tabindex]").count() > 0
