"""Reports as a browser shows them, and as text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any


class Page(HTMLParser):
    """The figures of a page, and what it would load from elsewhere."""

    def __init__(self, path: Path):
        super().__init__()
        self.figures, self.external, self._figure = {}, [], None
        self.text = path.read_text()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._figure = attributes.get("data-figure")
        for name in ("src", "href"):
            value = attributes.get(name) or ""
            if value and not value.startswith(("data:", "#")):
                self.external.append(value)

    def handle_data(self, data):
        if self._figure is not None:
            assert self.figures.setdefault(self._figure, data) == data
            self._figure = None


def figures_of(run: Path, dataset: str) -> dict[str, str]:
    """The figures that the report of a run should show, from its metrics.json."""
    last = json.loads((run / "metrics.json").read_text().splitlines()[-1])
    return {
        f"{run.name}|{dataset}|{name}": "–" if v is None else f"{v:.2f}"
        for name, v in last.items()
        if "/" in name
    }


def open_page(browser: Any, report: Path, width: int, errors: list[str], **options: Any) -> Any:
    """Open a report; what goes wrong is added to `errors`."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: r.url.startswith(("file:", "data:")) or errors.append(r.url))
    page.goto(report.as_uri())
    return page
