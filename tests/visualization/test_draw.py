import numpy as np
import pytest
from PIL import Image

from segsuite.visualization import error_map
from segsuite.visualization.draw import class_edges, colorize, overlay

from ..helpers import SHARED, requires_camvid

COLORS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def scene():
    """A grey image, left half class 0, right half class 2, one ignored pixel in each corner."""
    image = np.full((20, 30, 3), 100, np.uint8)
    labels = np.zeros((20, 30), np.uint8)
    labels[:, 15:] = 2
    labels[[0, 0, -1, -1], [0, -1, 0, -1]] = 255
    return image, labels


def test_colorize():
    labels = np.array([[0, 2], [255, -1]])
    assert colorize(labels, COLORS, fill=(9, 9, 9)).tolist() == [
        [[200, 0, 0], [0, 0, 200]],
        [[9, 9, 9], [9, 9, 9]],
    ]


def test_overlay_tints_classes_and_leaves_the_rest():
    image, labels = scene()
    picture = overlay(image, labels, COLORS, alpha=0.25, contours=False)
    assert picture.dtype == np.uint8 and picture.shape == image.shape
    assert picture[10, 5].tolist() == [125, 75, 75]
    assert picture[10, 20].tolist() == [75, 75, 125]
    assert (picture[labels == 255] == 100).all()
    assert (image == 100).all()


def test_contours_run_along_both_sides():
    image, labels = scene()
    edges = class_edges(labels)
    assert edges[10].nonzero()[0].tolist() == [14, 15]
    picture = overlay(image, labels, COLORS)
    assert picture[10, 14].tolist() == [200, 0, 0] and picture[10, 15].tolist() == [0, 0, 200]
    assert class_edges(np.zeros((480, 480), np.uint8)).sum() == 0
    wide = np.zeros((480, 480), np.int64)
    wide[:, 240:] = 300  # class ids above 255
    assert class_edges(wide)[0].sum() == 4


@pytest.mark.parametrize("draw", [
    lambda image, labels: overlay(image, labels, COLORS),
    lambda image, labels: error_map(image, labels, labels, 255),
])  # fmt: skip
def test_size_mismatch(draw):
    image, labels = scene()
    with pytest.raises(ValueError, match=r"20 x 30 pixels .* 10 x 30"):
        draw(image, labels[:10])


@requires_camvid
def test_on_a_photo():
    folder = SHARED / "data" / "camvid"
    path = sorted((folder / "images" / "val").glob("*.jpg"))[0]
    image = np.array(Image.open(path))
    labels = np.asarray(Image.open(folder / "labels" / "val" / f"{path.stem}.png"))
    colors = [(255, 0, 0)] * 11
    picture = overlay(image, labels, colors).astype(int)
    tinted = labels < 11
    grey = picture[~tinted]
    assert (grey == grey[:, :1]).all()
    assert np.abs(grey.mean() - image[~tinted].mean()) < 5
    assert (picture[tinted, 0] >= 0.6 * 255 - 1).all() and (picture[tinted, 2] <= 0.4 * 255).all()
