from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segsuite.data import (
    DatasetCatalog,
    compute_class_weights,
    get_records,
    label_histogram,
    register_sem_seg_folder,
)

# Pixels of classes 0, 1, 2 and of the ignore label in two images of ten pixels.
COUNTS = [[4, 2, 0, 4], [8, 0, 0, 2]]


@pytest.fixture
def name(tmp_path):
    (tmp_path / "i").mkdir()
    (tmp_path / "l").mkdir()
    for k, counts in enumerate(COUNTS):
        labels = np.repeat([0, 1, 2, 255], counts).astype(np.uint8).reshape(2, 5)
        Image.fromarray(labels).save(tmp_path / "l" / f"{k}.png")
        Image.fromarray(labels).save(tmp_path / "i" / f"{k}.png")
    register_sem_seg_folder("test_stats", tmp_path / "i", tmp_path / "l", ["a", "b", "c"])
    yield "test_stats"
    DatasetCatalog.remove("test_stats")


def test_histogram(name):
    pixels, pixels_where_present = label_histogram(get_records([name]), 3)
    assert pixels.dtype == np.int64 and pixels.tolist() == [12, 2, 0]
    assert pixels_where_present.tolist() == [14, 6, 0]


def test_values_outside_the_classes_do_not_count(name):
    pixels, _ = label_histogram(get_records([name]), 1)
    assert pixels.tolist() == [12]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("median_frequency", lambda p, f: np.median(f) / f),
        ("inverse_log", lambda p, f: 1 / np.log(1.02 + p)),
        ("inverse_sqrt", lambda p, f: p**-0.5 / np.mean(p**-0.5)),
    ],
)
def test_weights(name, mode, expected, caplog):
    share = np.array([12, 2]) / 14
    frequency = np.array([12 / 14, 2 / 6])
    weights = compute_class_weights([name], 3, mode)
    np.testing.assert_allclose(weights[:2], expected(share, frequency))
    assert weights[2] == 0 and weights[1] > weights[0]
    assert "No training pixel of class 2" in caplog.text


def test_errors(name):
    with pytest.raises(ValueError, match="CLASS_BALANCE is 'median': expected one of median_freq"):
        compute_class_weights([name], 3, "median")
    for path in (r["sem_seg_file_name"] for r in get_records([name])):
        Image.fromarray(np.full((2, 5), 255, np.uint8)).save(path)
    with pytest.raises(ValueError, match="test_stats have no pixel of the classes 0 to 2"):
        compute_class_weights([name], 3, "inverse_log")
