from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segsuite.data import colors_to_labels, read_sem_seg
from segsuite.data.sem_seg import count_values


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(0, 5, (12, 9), dtype=np.uint8)


def test_grey(tmp_path, labels):
    Image.fromarray(labels).save(tmp_path / "a.png")
    assert np.array_equal(read_sem_seg(tmp_path / "a.png"), labels)


def test_palette_gives_indices(tmp_path, labels):
    image = Image.fromarray(labels)
    image.putpalette([7, 7, 7, 200, 0, 0, 0, 200, 0, 0, 0, 200, 9, 9, 9])
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_sem_seg(tmp_path / "a.png"), labels)


def test_sixteen_bits(tmp_path):
    labels = np.array([[0, 300], [65535, 1]], dtype=np.uint16)
    Image.fromarray(labels).save(tmp_path / "a.png")
    read = read_sem_seg(tmp_path / "a.png")
    assert read.dtype == np.int32 and np.array_equal(read, labels)
    read = read_sem_seg(tmp_path / "a.png", {0: 0, 300: 1, 65535: 255, 1: 2})
    assert np.array_equal(read, [[0, 1], [255, 2]])


def test_one_bit(tmp_path):
    labels = np.array([[0, 1], [1, 1]], dtype=bool)
    Image.fromarray(labels).save(tmp_path / "a.png")
    read = read_sem_seg(tmp_path / "a.png")
    assert read.dtype == np.uint8 and np.array_equal(read, labels)


def test_label_map(tmp_path, labels):
    Image.fromarray(labels).save(tmp_path / "a.png")
    read = read_sem_seg(tmp_path / "a.png", {0: 255, 1: 0, 2: 1, 3: 1, 4: 7})
    assert read.dtype == np.uint8
    assert np.array_equal(read, np.array([255, 0, 1, 1, 7])[labels])


@pytest.mark.parametrize(
    "label_map", [{0: 0, 1: 1, 255: 255}, {0: 0, 1: 1, 255: 255, 300: 2}, {0: 0, 1: 1, 255: 256}]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_map_up_to_the_last_value(tmp_path, dtype, label_map):
    labels = np.array([[0, 255], [1, 255]], dtype=dtype)
    Image.fromarray(labels).save(tmp_path / "a.png")
    read = read_sem_seg(tmp_path / "a.png", label_map)
    assert np.array_equal(read, [[0, label_map[255]], [1, label_map[255]]])
    lacking = {stored: label for stored, label in label_map.items() if stored != 255}
    with pytest.raises(ValueError, match=r"the value 255 \(2 pixels\)"):
        read_sem_seg(tmp_path / "a.png", lacking)


def test_many_values_that_the_label_map_lacks(tmp_path):
    Image.fromarray(np.arange(100, dtype=np.uint8).reshape(10, 10)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"5 \(1 pixels\) and 94 more, which"):
        read_sem_seg(tmp_path / "a.png", {0: 0})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_value_that_the_label_map_lacks(tmp_path, dtype):
    labels = np.array([[0, 1, 1], [9, 9, 200]], dtype=dtype)
    path = tmp_path / "a.png"
    Image.fromarray(labels).save(path)
    with pytest.raises(ValueError) as e:
        read_sem_seg(path, {0: 0, 1: 1})
    assert f"{path} holds the value 9 (2 pixels), 200 (1 pixels)" in str(e.value)
    assert "it maps 0, 1. Add the value to label_map" in str(e.value)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colour_image_is_refused_with_the_way_out(tmp_path, labels, mode):
    path = tmp_path / "a.png"
    Image.fromarray(labels).convert(mode).save(path)
    with pytest.raises(ValueError, match=rf"{path} is a {mode} image.*colors_to_labels"):
        read_sem_seg(path)


def test_truncated_label_map(tmp_path):
    path = tmp_path / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1200])
    with pytest.raises(ValueError, match=rf"{path} can't be decoded"):
        read_sem_seg(path)


@given(st.dictionaries(st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 255), min_size=1))
def test_colors_to_labels(colors):
    keys = list(colors)
    index = np.random.default_rng(0).integers(0, len(keys), (5, 7))
    labels = colors_to_labels(np.array(keys, dtype=np.uint8)[index], colors)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.array(list(colors.values()))[index])


def test_colors_to_labels_names_the_unknown_colour():
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = (9, 8, 7)
    with pytest.raises(ValueError, match=r"1 colours .* \(9, 8, 7\) \(4 pixels\)"):
        colors_to_labels(image, {(0, 0, 0): 0, (255, 0, 0): 1})


@given(arrays(st.sampled_from([np.uint8, np.int32]), (7, 5), elements=st.integers(0, 9)))
def test_count_values(labels):
    values, counts = count_values(labels)
    assert dict(zip(values.tolist(), counts.tolist(), strict=True)) == {
        v: int((labels == v).sum()) for v in set(labels.ravel().tolist())
    }
