"""report.html: in a browser, and as the text that it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detection.report.content import Estimate, Report
from detection.report.page import hundredths, report_page, signed, with_code, write_report

BuildReport = Callable[..., Report]


@pytest.fixture(scope="module")
def report(example_report: BuildReport) -> Report:
    return example_report()


@pytest.fixture(scope="module")
def path(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, report)
    return path


@pytest.fixture(scope="module")
def page(pages: Any, path: Path) -> Iterator[Any]:
    """One page for those tests that leave it as usable as they found it."""
    with pages() as open_it:
        yield open_it(path.as_uri(), height=900)


def column(page: Any, table: str, head: str) -> list[str]:
    """The texts of a column of a table."""
    heads = page.locator(f"{table} thead th").all_inner_texts()
    return page.locator(f"{table} tbody tr > :nth-child({heads.index(head) + 1})").all_inner_texts()


@pytest.mark.slow
def test_the_headlines_are_the_reports(page: Any, report: Report) -> None:
    for name, estimate in report.numbers.items():
        shown = page.locator(f"[data-number={name}]").inner_text()
        assert hundredths(estimate.value) in shown
        if estimate.low is not None:
            assert f"{hundredths(estimate.low)} to {hundredths(estimate.high)}" in shown
    assert page.locator("[data-number=AP] .value").inner_text() == "43.1"


@pytest.mark.slow
def test_the_class_table_is_the_reports(page: Any, report: Report) -> None:
    names = page.locator("#class-table tbody th").all_text_contents()
    assert [name.strip() for name in names] == [one.name for one in report.classes]
    for head, field in (("AP", "AP"), ("AP75", "AP75"), ("Precision", "precision")):
        expected = [hundredths(getattr(one, field)) for one in report.classes]
        assert column(page, "#class-table", head) == expected
    assert column(page, "#class-table", "Threshold") == [
        f"{one.threshold:.2f}" for one in report.classes
    ]
    for field in ("found", "missed", "misplaced", "both", "duplicates", "background"):
        shown = column(page, "#class-table", field.capitalize())
        assert shown == [str(getattr(one, field)) for one in report.classes]
    assert column(page, "#class-table", "Confused") == [
        str(sum(one.confused.values())) for one in report.classes
    ]


@pytest.mark.slow
def test_errors_sizes_and_differences_are_the_reports(page: Any, report: Report) -> None:
    assert column(page, "#errors table", "AP50 lost") == [
        hundredths(one.AP50_lost) for one in report.errors
    ]
    assert column(page, "#sizes table", "AR100") == [hundredths(one.AR100) for one in report.sizes]
    assert column(page, "#proposals table", "of 100") == ["52.1", "59.1"]
    (comparison,) = report.comparisons
    shown = column(page, "#comparison table", "Difference")[: len(comparison.differences)]
    assert shown == [signed(one.difference.value) for one in comparison.differences]
    verdicts = column(page, "#comparison table", "Verdict")
    assert verdicts == ["significantly better", "may be chance", "significantly worse"]


@pytest.mark.slow
def test_a_click_and_a_key_sort_the_table(page: Any, report: Report) -> None:
    head = page.locator("#class-table thead th", has_text=re.compile("^AP50$"))
    button = head.locator("button")
    fallen = [hundredths(v) for v in sorted((c.AP50 or 0 for c in report.classes), reverse=True)]
    button.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, "#class-table", "AP50") == fallen
    button.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, "#class-table", "AP50") == fallen[::-1]
    page.locator("#class-table thead button").first.press("Space")
    assert head.get_attribute("aria-sort") is None
    assert page.locator("#class-table thead [aria-sort]").count() == 1


@pytest.mark.slow
def test_classes_are_found_by_a_piece_of_their_names(page: Any) -> None:
    page.locator("#find-class").fill("BO")
    shown = page.locator("#class-table tbody tr:visible th").all_inner_texts()
    assert {name.strip() for name in shown} == {"boat", "bottle", "</script><b>bold</b>"}
    assert page.locator("#found-classes").inner_text() == "3 of 20"
    page.locator("#find-class").fill("")


@pytest.mark.slow
def test_a_curve_is_read_out_with_the_keyboard(page: Any, report: Report) -> None:
    chosen = report.classes[9]
    page.locator("#curve-class").select_option("9")
    drawing = page.locator("#class-curves svg.chart-drawing")
    drawing.focus()
    page.keyboard.press("Home")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    said = page.locator("#class-curves .read-out").inner_text()
    curve = chosen.curves[0]
    assert f"Recall {hundredths(curve.recall[30])}" in said
    assert hundredths(curve.precision[30]) in said
    assert f"score {curve.score[30]:.2f}" in said


@pytest.mark.slow
def test_a_mouse_reads_out_what_it_points_at(page: Any, report: Report) -> None:
    page.locator("#calibration-chart svg.chart-drawing").scroll_into_view_if_needed()
    box = page.locator("#calibration-chart svg.chart-drawing").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 60)
    last = report.calibration[-1]
    said = page.locator("#calibration-chart .read-out").inner_text()
    assert f"{hundredths(last.right / last.detections)} % right" in said


@pytest.mark.slow
def test_the_best_validation_is_marked(page: Any) -> None:
    assert page.locator("#validation-chart .mark").text_content() == "best"
    assert "log" in page.locator("#loss-chart figcaption").inner_text()


@pytest.mark.slow
def test_a_cell_of_the_matrix_filters_the_pictures(page: Any, report: Report) -> None:
    assert report.confusion
    names = report.confusion.names
    confused = next(o for one in report.pictures for o in one.objects if o.other)
    having = [
        one
        for one in report.pictures
        if any(o.name == confused.name and o.other == confused.other for o in one.objects)
    ]
    row, column = names.index(confused.name), names.index(confused.other)
    cell = page.locator(f".matrix tbody tr:nth-child({row + 1}) td").nth(column)
    cell.hover()
    count = report.confusion.counts[row][column]
    assert cell.inner_text() == str(count)
    said = page.locator("#matrix-read").inner_text()
    assert said.startswith(f"{count} of {sum(report.confusion.counts[row])} objects")
    cell.click()
    shown = page.locator(".gallery-state [role=status]").inner_text()
    assert shown == f"{len(having)} of {len(report.pictures)} shown"
    page.get_by_text("Reset filters").click()
    # With the keyboard: to the cell beside it, on the diagonal or off it.
    cell.focus()
    page.keyboard.press("ArrowLeft" if column else "ArrowRight")
    beside = column - 1 if column else 1
    active = "document.activeElement"
    assert page.evaluate(f"[{active}.parentNode.rowIndex - 1, {active}.cellIndex - 1]") == [
        row,
        beside,
    ]


@pytest.mark.slow
def test_a_class_of_the_table_chooses_its_curve_and_pictures(page: Any, report: Report) -> None:
    page.locator("#class-table button.link", has_text="bicycle").click()
    names = [one.name for one in report.classes]
    assert page.locator("#curve-class").input_value() == str(names.index("bicycle"))
    assert page.get_by_label("Class", exact=True).last.input_value() == "bicycle"
    page.get_by_text("Reset filters").click()


@pytest.mark.slow
def test_names_are_text_and_nothing_else(page: Any) -> None:
    assert page.locator("b", has_text="bold").count() == 0
    assert page.locator("img:not([src^='data:image/jpeg;base64,'])").count() == 0
    assert page.locator("#class-table", has_text="{{ 7 * 7 }}").count() == 1
    assert page.title() == "Faster R-CNN on VOC 2007 test <&>"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction(
    open_page: Callable[..., Any], path: Path, scheme: str
) -> None:
    page = open_page(path.as_uri(), width=390, height=800, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground))) > 380) == (scheme == "light")
    page.locator(".card").first.click()
    box = page.locator("dialog .picture").bounding_box()
    assert 0 <= box["x"] < box["x"] + box["width"] <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_nothing_to_report_is_said(
    open_page: Callable[..., Any], empty_report: Report, tmp_path: Path
) -> None:
    write_report(tmp_path / "report.html", empty_report)
    page = open_page((tmp_path / "report.html").as_uri())
    assert page.locator("section, nav li").count() == 0
    assert "nothing to report" in page.locator("main").inner_text()


@pytest.mark.slow
def test_a_hundred_classes_and_sixty_pictures(
    open_page: Callable[..., Any], example_report: BuildReport, tmp_path: Path
) -> None:
    report = example_report(classes=100, pictures=60)
    path = tmp_path / "report.html"
    write_report(path, report)
    pictures = sum(len(one.jpeg) for one in report.pictures)
    assert path.stat().st_size < pictures + 1_000_000
    page = open_page(path.as_uri())
    assert page.locator(".matrix td").count() == 101**2
    assert page.locator(".card").count() == 60
    # Cards that are far from the window wait.
    assert page.locator(".card img").count() < 60
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_what_is_missing_has_no_section(report: Report) -> None:
    page = report_page(replace(report, training=None, comparisons=[], pictures=[], confusion=None))
    for name in ("training", "comparison", "gallery"):
        assert f'id="{name}"' not in page
        assert f'href="#{name}"' not in page
    # The largest confusions are known without a matrix.
    assert 'id="confusion"' in page
    assert 'id="matrix"' not in page


def test_a_run_against_itself_is_the_same(report: Report) -> None:
    (comparison,) = report.comparisons
    none = Estimate(value=0.0, low=0.0, high=0.0)
    same = [replace(one, difference=none, significant=False) for one in comparison.differences]
    page = report_page(replace(report, comparisons=[replace(comparison, differences=same)]))
    assert page.count("the same</span>") == len(same)
    assert "may be chance</span>" not in page


def test_over_a_hundred_classes_there_is_no_matrix(example_report: BuildReport) -> None:
    page = report_page(example_report(classes=101, pictures=0))
    assert 'id="matrix"' not in page
    assert "The classes that are most often taken for another one." in page


def test_a_page_names_nothing_that_it_could_load(report: Report) -> None:
    page = report_page(report)
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "@import" not in page
    assert "url(" not in page


def test_an_old_page_stays_where_the_new_one_fails(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    broken: Any = object()  # no JSON can hold it
    with pytest.raises(TypeError):
        write_report(path, replace(report, score=broken))
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_bytes_of_a_name_that_are_no_letters(report: Report, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", replace(report, title="caf\udce9"))
    assert "<title>caf?</title>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_numbers_are_written_as_papers_do() -> None:
    assert [hundredths(v) for v in (0.4312, 1.0, 0.0)] == ["43.1", "100.0", "0.0"]
    assert [signed(v) for v in (0.012, -0.012)] == ["+1.2", "\N{MINUS SIGN}1.2"]
    assert hundredths(None) == signed(None) == "\N{EN DASH}"


def test_backticks_are_code_and_the_rest_is_text() -> None:
    assert with_code("a <b> `x<y` c") == "a &lt;b&gt; <code>x&lt;y</code> c"
    assert with_code("one ` alone") == "one ` alone"
