"""The page in a headless Chromium: no error, and what can be clicked works."""

from __future__ import annotations

import shutil

import pytest

from segsuite.visualization.report import write_report
from tests.runs import tiny_run

from .runs import write_instance_run

BROWSER = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no Chromium is installed")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_report([tiny_run(), write_instance_run(folder)], folder / "report.html")


def open_page(browser, report, width, errors, **options):
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or errors.append(r.url))
    page.goto(report.as_uri())
    return page


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
    assert examples.first.locator("img.errors").is_visible()
    assert not examples.first.locator("img.truth").is_visible()
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
