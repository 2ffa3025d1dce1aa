from __future__ import annotations

import hashlib
import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segsuite.data.datasets.png import encode_png

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(sizes.flatmap(lambda s: arrays(np.uint8, (*s, 3))))
def test_rgb_is_what_pillow_reads(pixels):
    image = Image.open(io.BytesIO(encode_png(pixels)))
    assert image.mode == "RGB" and np.array_equal(np.asarray(image), pixels)


@given(sizes.flatmap(lambda s: arrays(np.uint8, s, elements=st.integers(0, 2))))
def test_palette_is_what_pillow_reads(labels):
    colors = [(0, 0, 0), (255, 0, 7), (1, 2, 3)]
    image = Image.open(io.BytesIO(encode_png(labels, colors)))
    assert image.mode == "P" and np.array_equal(np.asarray(image), labels)
    assert np.array_equal(np.asarray(image.convert("RGB")), np.array(colors)[labels])


def test_more_than_one_stored_block():
    pixels = np.arange(200 * 200 * 3, dtype=np.uint32).astype(np.uint8).reshape(200, 200, 3)
    data = encode_png(pixels)
    assert len(data) > 65535
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_the_same_bytes_everywhere():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert hashlib.sha256(encode_png(grey)).hexdigest()[:16] == "b0eb4945328da0f6"
