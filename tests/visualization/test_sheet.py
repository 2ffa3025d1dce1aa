import numpy as np
import pytest
from PIL import Image

from segsuite.visualization.sheet import comparison, contact_sheet, legend, save_image

COLORS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


def has_color(picture, color):
    return bool((picture == color).all(-1).any())


def test_comparison_has_a_panel_for_each_view():
    image = np.full((60, 80, 3), 128, np.uint8)
    prediction = np.zeros((60, 80), np.uint8)
    target = np.ones((60, 80), np.int64)
    two = comparison(image, prediction, None, COLORS, panel_width=160)
    four = comparison(image, prediction, target, COLORS, panel_width=160)
    assert two.shape[0] == four.shape[0] == 120 + 24
    assert two.shape[1] == 2 * 160 + 8 and four.shape[1] == 4 * 160 + 3 * 8
    untitled = comparison(image, prediction, None, COLORS, panel_width=40, titles=False)
    assert untitled.shape == (30, 2 * 40 + 8, 3)


def test_legend_breaks_lines_and_shows_every_class():
    one_line = legend(["sky", "road", "tree"], COLORS, 600)
    narrow = legend(["sky", "road", "tree"], COLORS, 90)
    assert one_line.shape == (24, 600, 3) and narrow.shape == (72, 90, 3)
    for color in COLORS:
        assert has_color(one_line, color) and has_color(narrow, color)


def test_contact_sheet():
    red, green, blue = (np.full((10, 20 + i, 3), c, np.uint8) for i, c in enumerate(COLORS))
    sheet = contact_sheet([red, green, blue], columns=2, footer=legend(["sky"], COLORS[:1], 30))
    assert sheet.shape == (8 + 10 + 8 + 10 + 8 + 24 + 8, 8 + 20 + 8 + 21 + 8, 3)
    for color in COLORS:
        assert has_color(sheet, color)
    assert (sheet[[0, -1]] == 255).all() and (sheet[:, [0, -1]] == 255).all()
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])


def test_save_image_makes_the_folder(tmp_path):
    picture = np.zeros((4, 5, 3), np.uint8)
    picture[..., 0] = 255
    save_image(tmp_path / "new" / "x.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new" / "x.png")), picture)
