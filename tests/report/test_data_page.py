"""The page of a data set in a browser: filters, orders, flags, findings, the large view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detection.data.dataset import DetectionDataset, Example
from detection.data.findings import Oddity
from detection.report.data_content import Batches, DataPage, ShownBox, ShownPicture
from detection.report.data_page import write_data_page
from detection.report.measure_data import Look, measure_data
from detection.report.reader_findings import SplitFindings

NAMES = ("</script><b>bold</b>", "plain", "\u202eoverridden")
LOOK = Look(most=None, seed=1, ignore_crowd=True, ignore_difficult=False)


def example(path: Path, boxes: list[list[float]], labels: list[int], **flags: int) -> Example:
    """``flags``: the number of the object that is a crowd, or difficult."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    numbers = np.arange(len(labels))
    cv2.imwrite(str(path), np.full((240, 320, 3), 90, np.uint8))
    return Example(
        image_id=1,
        path=path,
        size=(240, 320),
        boxes=corners,
        labels=np.array(labels, np.int64),
        crowd=numbers == flags.get("crowd", -1),
        difficult=numbers == flags.get("difficult", -1),
        annotated=np.concatenate((corners[:, :2], sides), axis=1).astype(np.float64),
        areas=sides.prod(axis=1).astype(np.float64),
    )


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[SplitFindings]:
    folder = tmp_path_factory.mktemp("pictures")
    small, medium, large = [5, 5, 25, 25], [60, 60, 120, 120], [100, 20, 300, 220]
    examples = [
        example(folder / "two.jpg", [medium, large], [1, 2]),
        example(folder / "a 'quoted' & <b>.jpg", [small, medium, large], [2, 2, 1], crowd=2),
        example(folder / "empty.jpg", [], []),
        example(folder / "difficult.jpg", [large], [3], difficult=0),
    ]
    first = DetectionDataset(
        NAMES, (1, 2, 3), examples, folder, format="COCO",
        oddities=(Oddity("box cut", 2, "two.jpg: x", ("a 'quoted' & <b>.jpg: <i>y</i>",)),),
    )  # fmt: skip
    last = example(folder / "last.jpg", [medium], [1])
    other = DetectionDataset(NAMES[:1], (1,), [last], folder, format="COCO")
    return [SplitFindings("train", first, []), SplitFindings("val", other, ["last.xml: </script>"])]


@pytest.fixture(scope="module")
def content(splits: list[SplitFindings]) -> DataPage:
    shown = measure_data("<i>title</i>", {"data set": "here"}, splits, LOOK)
    anchor = ShownBox(name="plain", box=(1, 1, 90, 90), size="medium", note="IoU 0.70",
                      verdict="anchor")  # fmt: skip
    unreached = ShownBox(name="plain", box=(5, 5, 9, 9), size="small", verdict="unreached")
    jpeg = shown.pictures[0].jpeg
    picture = ShownPicture(file_name="b.jpg", width=320, height=240, jpeg=jpeg, note="1 object",
                           choice="mini-batch 1", objects=[unreached], anchors=[anchor],
                           facts=["flipped"])  # fmt: skip
    batches = Batches(facts={"input": "BGR"}, notes=["untrained"], pictures=[picture])
    return measure_data("<i>title</i>", {"data set": "here"}, splits, LOOK, batches)


@pytest.fixture(scope="module")
def path(content: DataPage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "data.html"
    write_data_page(path, content)
    return path


@pytest.fixture(scope="module")
def page(pages: Any, path: Path) -> Iterator[Any]:
    with pages() as open_it:
        yield open_it(path.as_uri(), height=900)


def choose(page: Any, label: str, option: str, place: str = "#picture-place") -> None:
    page.locator(place).get_by_label(label, exact=True).select_option(label=option)


@pytest.fixture(autouse=True)
def _without_filters(request: pytest.FixtureRequest) -> None:
    if "page" in request.fixturenames:
        page = request.getfixturevalue("page")
        # Cards are filled when they come near the window.
        page.locator("#picture-place").scroll_into_view_if_needed()
        page.locator("#picture-place .card svg").nth(4).wait_for(state="attached")
        choose(page, "Order", "as in the data set")
        reset = page.locator("#picture-place").get_by_role("button", name="Reset filters")
        if reset.is_visible():
            reset.click()


def shown(page: Any) -> list[str]:
    cards = page.locator("#picture-place .cards > li:visible .caption .name")
    names: list[str] = cards.all_inner_texts()
    return names


def test_facts_of_all_pictures(content: DataPage) -> None:
    train, val = content.splits
    assert (train.images, train.empty, train.boxes, train.crowds, train.difficult) == (
        4,
        1,
        6,
        1,
        1,
    )
    assert (val.images, val.boxes) == (1, 1)
    first, second, third = content.classes
    assert (first.boxes, first.pictures, first.sizes) == ([2, 1], [2, 1], [0, 2, 1])
    assert (second.boxes, second.sizes) == ([3, 0], [1, 1, 1])
    assert third.boxes == [1, 0]
    assert sum(content.sides.counts) == sum(content.ratios.counts) == 7
    assert sum(content.per_picture.counts) == 5


def test_names_are_text_and_nothing_else(page: Any) -> None:
    assert page.locator("h1").inner_text() == "<i>title</i>"
    assert page.locator("main b:text('bold')").count() == 0
    assert page.locator("#class-table tbody th").all_inner_texts() == [*NAMES]
    assert "a 'quoted' & <b>.jpg" in shown(page)


def test_pictures_are_filtered_by_what_is_in_them(page: Any) -> None:
    assert len(shown(page)) == 5
    choose(page, "Pictures", "empty")
    assert shown(page) == ["empty.jpg"]
    choose(page, "Pictures", "All")
    choose(page, "Size", "small")
    assert shown(page) == ["a 'quoted' & <b>.jpg"]
    assert page.locator("#picture-place .cards .box:visible").count() == 1
    choose(page, "Size", "All sizes")
    choose(page, "Flag", "Crowds")
    assert shown(page) == ["a 'quoted' & <b>.jpg"]
    choose(page, "Flag", "Ignored in training")
    assert shown(page) == ["a 'quoted' & <b>.jpg"]  # difficult objects are not, here
    choose(page, "Flag", "Difficult")
    assert shown(page) == ["difficult.jpg"]
    choose(page, "Flag", "Any")
    choose(page, "Split", "val")
    assert shown(page) == ["last.jpg"]
    page.locator("#picture-place").get_by_role("button", name="Reset filters").click()
    choose(page, "Class", "plain")
    assert len(shown(page)) == 2
    choose(page, "Class", "All classes")
    choose(page, "Pictures", "with findings")
    assert shown(page) == ["two.jpg", "a 'quoted' & <b>.jpg", "last.jpg"]


def test_pictures_are_ordered(page: Any) -> None:
    choose(page, "Order", "most boxes first")
    assert shown(page)[:2] == ["a 'quoted' & <b>.jpg", "two.jpg"]
    choose(page, "Order", "fewest boxes first")
    assert shown(page)[0] == "empty.jpg"
    choose(page, "Order", "smallest box first")
    assert shown(page)[0] == "a 'quoted' & <b>.jpg"
    assert shown(page)[-1] == "empty.jpg"
    # The large view goes on in this order.
    page.locator("#picture-place .card").first.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    title = page.locator("dialog[open] header .name")
    assert title.inner_text() == shown(page)[1]
    page.keyboard.press("Escape")


def test_flags_are_dashed_and_said(page: Any) -> None:
    dashed = page.locator("#picture-place .box.dashed")
    assert dashed.count() == 2
    assert "(crowd, ignored)" in dashed.first.locator("text").text_content()
    assert "crowd, ignored" in dashed.first.locator("title").text_content()


def test_a_finding_opens_its_picture(page: Any) -> None:
    cases = page.locator("#findings li button[data-picture]")
    assert cases.count() == 3
    page.locator("#findings summary").nth(1).click()
    refused = page.locator("#findings li", has=page.locator(".refused"))
    assert "</script>" in refused.inner_text()
    cases.nth(1).click()
    title = page.locator("dialog[open] header .name")
    assert title.inner_text() == "a 'quoted' & <b>.jpg"
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_a_class_of_the_table_shows_its_pictures(page: Any) -> None:
    page.locator("#class-table button.link").nth(2).click()
    assert shown(page) == ["difficult.jpg"]


def test_mini_batches_have_a_gallery_of_their_own(page: Any) -> None:
    place = page.locator("#batch-place")
    assert place.locator(".box:visible").count() == 2
    place.get_by_role("button", name="No anchor reaches it").click()
    assert place.locator(".box:visible").count() == 1
    place.locator(".card").click()
    dialog = page.locator("dialog[open]")
    assert dialog.locator(".picture-facts").inner_text() == "flipped"
    page.keyboard.press("2")
    assert dialog.get_by_role("button", name="Anchors").get_attribute("aria-pressed") == "false"
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    place.get_by_role("button", name="All boxes").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction(
    open_page: Callable[..., Any], path: Path, scheme: str
) -> None:
    page = open_page(path.as_uri(), width=390, height=800, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("#picture-place .card").nth(1).click()
    close = page.locator("dialog[open] header").get_by_role("button", name="Close").bounding_box()
    assert close["x"] + close["width"] <= 390
