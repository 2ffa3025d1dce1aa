"""What the page answers, without the page; the page itself is in tests/cli/test_serve.py."""

import sys

import numpy as np
import pytest
from PIL import Image

from segsuite.data import Metadata
from segsuite.predict import Predictor
from segsuite.predict.serve import answer, build_page
from segsuite.visualization import Prediction
from tests.finished_runs import tiny_images, tiny_run
from tests.visualization.test_summary import instances

LIMIT = 1 << 20


@pytest.fixture(scope="module")
def predictor():
    return Predictor(tiny_run())


def test_overlay_legend_and_confidence(predictor):
    found = answer(predictor, tiny_images()[0], LIMIT)
    assert found.image.shape == found.overlay.shape == found.confidence.shape == (32, 32, 3)
    assert (found.overlay == predictor(tiny_images()[0]).draw()).all()
    assert sum(c.share for c in found.classes) == pytest.approx(1)
    for c in found.classes:
        assert f"rgb{c.color}" in found.legend and c.name in found.legend
        assert f"{100 * c.share:.1f}%" in found.legend
        assert f"{100 * c.confidence:.1f}%" in found.legend
    assert "Count" not in found.legend


def test_photographs_are_turned_upright(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    pixels = np.zeros((20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    assert answer(predictor, tmp_path / "photo.jpg", LIMIT).overlay.shape == (30, 20, 3)


def test_what_is_no_image_or_too_large_is_told(predictor, tmp_path):
    notes, cut = tmp_path / "notes.jpg", tmp_path / "cut.png"
    notes.write_text("no image")
    with pytest.raises(ValueError, match=r"8 bytes of notes\.jpg are not an image"):
        answer(predictor, notes, LIMIT)
    cut.write_bytes(tiny_images()[0].read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cut\.png can't be decoded.*cut short"):
        answer(predictor, cut, LIMIT)
    notes.write_bytes(bytes(LIMIT + LIMIT // 2))
    with pytest.raises(ValueError, match=r"notes\.jpg has 1\.5 MB; up to 1 MB.*--max-upload-mb"):
        answer(predictor, notes, LIMIT)


def test_instances_are_counted_and_names_escaped():
    names = Metadata("zoo").set(thing_classes=["cat", "<b>dog"])

    def predict(image, min_score=0.5):
        return Prediction(image, {"instances": instances()}, names, min_score)

    file = tiny_images()[0]
    image = np.zeros((10, 20, 3), np.uint8)
    found = answer(lambda _: predict(image), file, LIMIT)
    assert found.confidence is None and "Count" in found.legend
    assert "&lt;b&gt;dog" in found.legend and "<b>" not in found.legend
    nothing = answer(lambda _: predict(image, 0.95), file, LIMIT)
    assert "Nothing found with a score of at least 0.95" in nothing.legend


def test_without_gradio_the_extra_is_named(predictor, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(ImportError, match=r"pip install gradio, or segsuite-torch\[serve\]"):
        build_page(predictor, title="tiny", max_bytes=LIMIT)
