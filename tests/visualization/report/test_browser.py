"""The page in a headless Chromium: no error, and what can be clicked works."""

from __future__ import annotations

from itertools import pairwise

import pytest

from segsuite.visualization.report import write_report
from tests.finished_runs import coco_run, tiny_run

from .pages import open_page
from .runs import write_instance_run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [tiny_run(), coco_run("panoptic"), write_instance_run(folder)]
    return write_report(runs, folder / "report.html")


@pytest.mark.parametrize("width", [1280, 390])
def test_opens_without_errors_and_fits(browser, report, width):
    errors = []
    page = open_page(browser, report, width, errors, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(i => i.hidden || i.naturalWidth > 0)")
    assert errors == []
    page.close()


def test_tables_sort(browser, report):
    page = open_page(browser, report, 1280, [])
    table = page.locator("table.sortable").first
    heading = table.locator("th.n").first
    values = "rows => rows.map(r => r.querySelector('td.n').dataset.value).map(parseFloat)"

    def shown():
        return table.locator("tbody tr").evaluate_all(values)

    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert shown() == sorted(shown(), reverse=True)
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending" and shown() == sorted(shown())
    page.close()


def test_images_filter_by_class_and_slide(browser, report):
    page = open_page(browser, report, 1280, [])
    section = page.locator(".pictures").first
    examples = section.locator(".example")
    classes = examples.evaluate_all("all => all.map(e => JSON.parse(e.dataset.classes))")
    section.locator(".by-class").select_option("box")
    assert section.locator(".example:visible").count() == sum("box" in c for c in classes)
    assert section.locator(".count").inner_text().endswith(f"of {len(classes)} images")

    slider = examples.first.locator("input")
    slider.focus()
    slider.press("ArrowRight")
    style = "e => e.style.getPropertyValue('--at')"
    assert examples.first.locator(".compare").evaluate(style) == "51%"
    section.locator(".views").select_option("prediction,errors")
    assert examples.first.locator("img.errors:visible").count() == 1
    assert not examples.first.locator("img.truth").is_visible()
    page.close()


def test_errors_are_those_of_the_chosen_class(browser, report):
    page = open_page(browser, report, 1280, [])
    section = page.locator(".pictures").first
    legend, example = section.locator(".of-errors"), section.locator(".example").first
    assert not legend.is_visible()
    section.locator(".views").select_option("image,errors")
    assert legend.inner_text().startswith("Errors of all classes:")
    for words in ("found", "missed", "false", "another class", "does not count"):
        assert words in legend.inner_text()
    visible = "all => all.filter(i => !i.hidden).map(i => i.alt)"
    id = example.locator(".id").inner_text()
    assert example.locator("img").evaluate_all(visible) == [
        f"image {id}",
        f"errors of all classes in {id}",
    ]
    section.locator(".by-class").select_option("box")
    alts = section.locator(".example:visible").first.locator("img").evaluate_all(visible)
    assert any(a.startswith("errors of box in ") for a in alts) and len(alts) == 2
    assert legend.inner_text().startswith("Errors of box:")
    page.close()


def test_everything_has_a_name(browser, report):
    """For screen readers: pictures, charts, fields, buttons and tables."""
    page = open_page(browser, report, 1280, [])
    assert page.evaluate("[...document.images].every(i => i.alt.length > 5)")
    nameless = """all => all.filter(e => !(e.ariaLabel || e.labels?.length || e.innerText?.trim()
        || e.getAttribute('aria-labelledby') || e.caption)).map(e => e.outerHTML.slice(0, 80))"""
    parts = page.locator("svg, input, select, button, nav, section, table")
    assert parts.count() > 30 and parts.evaluate_all(nameless) == []
    headings = page.locator("h1, h2, h3, h4")
    levels = headings.evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    ids = page.locator("[id]").evaluate_all("all => all.map(e => e.id)")
    assert len(set(ids)) == len(ids)
    page.close()


def test_light_and_dark(browser, report):
    page = open_page(browser, report, 1280, [], color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    assert page.evaluate(paper) != light
    page.locator("#theme").click()
    assert page.evaluate(paper) == light
    page.close()
