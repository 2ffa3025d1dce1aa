"""The report of a run on real images, in a headless Chromium."""

import pytest

from tests.engine.tiny import run
from tests.helpers import REPO, requires_camvid

from .pages import Page, figures_of, open_page


@pytest.fixture(scope="module")
def camvid_run(shapes_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "camvid"
    options = ["SOLVER.MAX_ITER", 4, "DATALOADER.NUM_WORKERS", 0, "OUTPUT_DIR", str(folder)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGSUITE_DATASETS", str(shapes_root))
        run(REPO / "configs" / "camvid" / "ten_minutes" / "unet.yaml", options)
    return folder


@pytest.mark.slow
@requires_camvid
def test_it_is_small_and_has_the_figures_of_the_run(camvid_run):
    report = camvid_run / "report.html"
    assert report.stat().st_size < 6e6
    page = Page(report)
    assert page.figures == figures_of(camvid_run, "camvid_val") and not page.external
    assert page.text.count('<figure class="example"') == 12


@pytest.mark.slow
@requires_camvid
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_without_errors_and_fits(browser, camvid_run, width, scheme):
    errors = []
    page = open_page(browser, camvid_run / "report.html", width, errors, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate("[...document.images].every(i => i.hidden || i.naturalWidth > 0)")
    assert errors == []
    page.close()
