from itertools import combinations, product

import numpy as np
import pytest

from segsuite.data.palette import perceived
from segsuite.visualization import ERROR_COLORS, error_map, mask_error_map
from segsuite.visualization.errors import panoptic_labels
from segsuite.visualization.sheet import error_legend


def kinds(picture):
    """What each pixel of an error map shows, by its colour; "" for the grey image."""
    names = ["", *ERROR_COLORS]
    colors = np.array([(190, 190, 190), *ERROR_COLORS.values()])
    distance = np.abs(picture[:, :, None].astype(int) - colors).max(-1)
    assert distance.min(-1).max() <= 1
    return [[names[i] for i in row] for row in distance.argmin(-1)]


def row(*values):
    return np.array([values])


IMAGE = np.full((1, 5, 3), 120, np.uint8)  # 190 on the map


def test_label_maps():
    prediction, target = row(0, 1, 0, 2, 255), row(0, 0, 255, 2, 1)
    picture = error_map(IMAGE, prediction, target, 255)
    assert kinds(picture) == [["found", "another class", "does not count", "found", "missed"]]
    for class_id, expected in (
        (0, ["found", "missed", "does not count", "", ""]),
        (1, ["", "false", "does not count", "", "missed"]),
        (2, ["", "", "does not count", "found", ""]),
    ):
        assert kinds(error_map(IMAGE, prediction, target, 255, class_id)) == [expected]


def test_masks_that_overlap():
    cat = row(1, 1, 0, 0, 1) > 0, row(1, 0, 1, 0, 1) > 0
    dog = row(0, 0, 0, 0, 0) > 0, row(1, 1, 0, 0, 0) > 0
    assert kinds(mask_error_map(IMAGE, [cat])) == [["found", "false", "missed", "", "found"]]
    ignored = row(0, 0, 0, 0, 1) > 0
    both = mask_error_map(IMAGE, [cat, dog], ignored)
    assert kinds(both) == [["missed", "another class", "missed", "", "does not count"]]
    assert kinds(mask_error_map(IMAGE, [])) == [[""] * 5]


def test_panoptic_segments_become_classes():
    segments = [
        {"id": 9, "isthing": True, "category_id": 1},
        {"id": 4, "isthing": False, "category_id": 1},
        {"id": 7, "isthing": True, "category_id": 0, "iscrowd": 1},
    ]
    labels = panoptic_labels(row(9, 4, 7, 0, 3), segments, num_things=2)
    assert labels.tolist() == [[1, 3, -1, -1, -1]]
    nothing = panoptic_labels(row(0, 0, 9, 9, 9), segments, num_things=2)
    picture = error_map(IMAGE, nothing, labels, -1)
    assert kinds(picture) == [["missed"] * 2 + ["does not count"] * 3]


def test_the_colour_blind_tell_them_apart():
    greys = [(165, 165, 165), (230, 230, 230)]
    found, *errors = perceived([*ERROR_COLORS.values()])  # 3 visions of each
    pale = [found, *perceived(greys)]
    for a, b in [*combinations(errors, 2), *product(errors, pale)]:
        assert np.linalg.norm(a - b, axis=-1).min() > 0.14
    assert min(np.linalg.norm(found - grey, axis=-1).min() for grey in pale[1:]) > 0.06


def test_legend_and_sizes():
    strip = error_legend(600)
    for name in ("found", "another class", "does not count"):
        assert (strip == ERROR_COLORS[name]).all(-1).any()
    with pytest.raises(ValueError, match=r"1 x 5 pixels .* labels 1 x 4"):
        error_map(IMAGE, row(0, 0, 0, 0), row(0, 0, 0, 0, 0), 255)
