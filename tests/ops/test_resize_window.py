from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segsuite.ops import EXTENSION_LOADED, resize_window
from segsuite.ops.resize_window import _reference

needs_extension = pytest.mark.skipif(not EXTENSION_LOADED, reason="the extension is not built")


def random_image(height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=generator)


@st.composite
def cases(draw):
    old = draw(st.tuples(*[st.integers(1, 50)] * 2))
    size = draw(st.tuples(*[st.integers(1, 90)] * 2))
    height, width = draw(st.integers(1, size[0])), draw(st.integers(1, size[1]))
    top = draw(st.integers(0, size[0] - height))
    left = draw(st.integers(0, size[1] - width))
    return random_image(*old, draw(st.integers(0, 99))), size, (top, left, height, width)


@needs_extension
@given(cases())
def test_kernel_is_the_reference_bit_for_bit(case):
    assert torch.equal(resize_window(*case), _reference(*case))


@given(cases())
def test_a_window_is_cut_from_the_whole(case):
    image, size, (top, left, height, width) = case
    whole = resize_window(image, size, (0, 0, *size))
    window = resize_window(image, size, (top, left, height, width))
    assert torch.equal(window, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("value", [0, 1, 127, 255])
@pytest.mark.parametrize("size", [(7, 5), (20, 30), (64, 3), (1, 1)])
def test_one_colour_stays(value, size):
    image = torch.full((20, 30, 3), value, dtype=torch.uint8)
    assert (resize_window(image, size, (0, 0, *size)) == value).all()


def test_the_same_size_changes_nothing():
    image = random_image(9, 12)
    assert torch.equal(resize_window(image, (9, 12), (2, 3, 5, 6)), image[2:7, 3:9])


def test_halving_weighs_1_3_3_1():
    image = torch.zeros(1, 8, 3, dtype=torch.uint8)
    image[0, 3] = 160
    resized = resize_window(image, (1, 4), (0, 0, 1, 4))
    assert resized[0, :, 0].tolist() == [0, 60, 20, 0]


def test_any_strides():
    image = random_image(9, 12)
    flipped = image.flip(1).contiguous().flip(1)
    transposed = image.transpose(0, 1).contiguous().transpose(0, 1)
    expected = resize_window(image, (20, 20), (1, 2, 9, 9))
    assert torch.equal(resize_window(flipped, (20, 20), (1, 2, 9, 9)), expected)
    assert torch.equal(resize_window(transposed, (20, 20), (1, 2, 9, 9)), expected)


@needs_extension
def test_opcheck():
    arguments = (random_image(9, 12), 20, 30, 1, 2, 10, 11)
    torch.library.opcheck(torch.ops.segsuite.resize_window.default, arguments)


@pytest.mark.parametrize(
    ("image", "window", "message"),
    [
        (torch.zeros(4, 4, dtype=torch.uint8), (0, 0, 1, 1), r"image is \(4, 4\) torch.uint8"),
        (torch.zeros(4, 4, 3), (0, 0, 1, 1), r"torch.float32; expected \(H, W, 3\) uint8"),
        (torch.zeros(0, 4, 3, dtype=torch.uint8), (0, 0, 1, 1), "not empty"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (0, 5, 1, 6), "leaves the resized image of 8 x"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (-1, 0, 1, 1), "leaves the resized image"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), (0, 0, 0, 1), "leaves the resized image"),
    ],
)
def test_errors(image, window, message):
    with pytest.raises(ValueError, match=message):
        resize_window(image, (8, 10), window)
