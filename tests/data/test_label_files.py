"""Label maps in all containers: those that keep integers are read, the others are told apart."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segsuite.data import read_sem_seg
from segsuite.data.label_files import LabelFileError, read_stored_labels
from segsuite.errors import DataError
from tests.image_files import write_png, write_tiff

pytest.importorskip("tifffile")
LABELS = np.add.outer(np.arange(6), np.arange(8)).astype(np.uint8) % 4


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_png_has_the_stored_ids(tmp_path, bits):
    labels = LABELS % min(2**bits, 4)
    write_png(tmp_path / "a.png", labels, bits=bits, color=0)
    assert np.array_equal(read_sem_seg(tmp_path / "a.png"), labels)
    doubled = read_sem_seg(tmp_path / "a.png", {i: 2 * i for i in range(4)})
    assert doubled.dtype == np.uint8 and np.array_equal(doubled, 2 * labels)


@pytest.mark.parametrize("colors", [2, 4, 16, 200])
@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_the_indices_of_a_palette_count(tmp_path, colors, transparent, suffix):
    labels = LABELS % min(colors, 4)
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(0).integers(0, 256, 3 * colors).tolist())
    options = {"transparency": 0} if transparent and suffix == "png" else {}
    image.save(tmp_path / f"a.{suffix}", **options)
    assert np.array_equal(read_sem_seg(tmp_path / f"a.{suffix}"), labels)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32,
                                   np.float16, np.float32, np.float64])  # fmt: skip
@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"compression": "zlib"},
                                     {"tile": (16, 16)}, {"bigtiff": True}], ids=str)  # fmt: skip
def test_tiff_of_any_type(tmp_path, dtype, options):
    write_tiff(tmp_path / "a.tif", LABELS[..., None].astype(dtype), **options)
    labels = read_sem_seg(tmp_path / "a.tif")
    assert labels.dtype == (np.uint8 if dtype == np.uint8 else np.int32)
    assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("dtype", ["u1", "?", ">i2", "<u4", "i8", "u8", "f4", ">f8"])
@pytest.mark.parametrize("shape", [(6, 8), (1, 6, 8), (6, 8, 1), (1, 48)])
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays(tmp_path, dtype, shape, suffix):
    path, labels = tmp_path / f"a.{suffix}", (LABELS % 2 if dtype == "?" else LABELS)
    stored = np.asfortranarray(labels.astype(dtype).reshape(shape))
    np.save(path, stored) if suffix == "npy" else np.savez(path, label=stored, image=LABELS + 9)
    expected = labels.reshape(shape if len(shape) == 2 else (6, 8))
    assert np.array_equal(read_sem_seg(path), expected)


@pytest.mark.parametrize("array", [np.zeros((4, 5, 3), np.uint8), np.zeros((2, 4, 5), bool)])
def test_arrays_of_one_band_a_class_are_told(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy has the shape .*np\.argmax"):
        read_sem_seg(tmp_path / "a.npy")
    write_tiff(tmp_path / "a.tif", np.zeros((4, 5, 6), np.uint8))
    with pytest.raises(DataError, match=r"a\.tif has the shape \(4, 5, 6\).*np\.argmax"):
        read_sem_seg(tmp_path / "a.tif")


def test_pickled_labels_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"a\.npy holds Python objects, which are not loaded"):
        read_sem_seg(tmp_path / "a.npy")


@pytest.mark.parametrize("format", ["JPEG", "AVIF", "JPEG2000", "WEBP"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_formats_that_change_values_wherever_they_hide(tmp_path, format, suffix):
    if format not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {format}")
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.tile(LABELS, (8, 8))).save(path, format)
    with pytest.raises(LabelFileError, match=rf"a\.{suffix} is .*changes the values.*PNG") as e:
        read_sem_seg(path, {0: 0})
    assert e.value.kind == "labels-lossy"
    again = pickle.loads(pickle.dumps(e.value))
    assert (str(again), again.kind) == (str(e.value), e.value.kind)


def test_jpeg_inside_a_tiff(tmp_path):
    pytest.importorskip("imagecodecs")
    labels = np.tile(LABELS, (8, 8))
    Image.fromarray(labels).save(tmp_path / "a.tif", compression="jpeg")
    write_tiff(tmp_path / "b.tif", labels[..., None], compression="jpeg", tile=(16, 16))
    for name in ("a.tif", "b.tif"):
        with pytest.raises(LabelFileError, match=rf"{name} is JPEG"):
            read_sem_seg(tmp_path / name)


def test_png_under_the_name_of_a_jpeg_is_read(tmp_path):
    Image.fromarray(LABELS).save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(read_sem_seg(tmp_path / "a.jpg"), LABELS)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_colours_are_refused_with_the_way_out(tmp_path, mode):
    path = tmp_path / "a.tif"
    Image.fromarray(LABELS).convert("RGB").convert(mode).save(path)
    with pytest.raises(LabelFileError, match=rf"a\.tif is a {mode} image.*colors_to_labels") as e:
        read_sem_seg(path)
    assert e.value.kind == "labels-rgb"


@pytest.mark.parametrize("color", [2, 4, 6])
def test_colours_of_sixteen_bits(tmp_path, color):
    pixels = np.zeros((4, 5, {2: 3, 4: 2, 6: 4}[color]), np.uint16)
    write_png(tmp_path / "a.png", pixels, bits=16, color=color)
    with pytest.raises(LabelFileError, match=r"a\.png is a (RGB|RGBA|LA) image"):
        read_sem_seg(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.5, r"float \(float32\) that holds 0\.5 \(2 pixels\).*argmax"),
     (1 / 255, r"holds 0\.00392157 \(2 pixels\).*divided by 255"),
     (np.nan, r"2 pixels are NaN, infinite.*nan_to_num"), (np.inf, "2 pixels are NaN, infinite"),
     (1e30, "beyond all integers")],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["tif", "npy"])
def test_real_numbers_that_are_not_whole(tmp_path, value, said, suffix):
    labels = LABELS.astype(np.float32)
    labels[2, 3:5] = value
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(labels).save(path) if suffix == "tif" else np.save(path, labels)
    with pytest.raises(LabelFileError, match=said) as e:
        read_sem_seg(path)
    assert "colour" not in str(e.value) and e.value.kind == "labels-float"


def test_several_pages_and_frames(tmp_path):
    pages = [Image.fromarray((LABELS + k) % 4) for k in range(3)]
    for suffix in ("tif", "gif"):
        path = tmp_path / f"a.{suffix}"
        pages[0].save(path, save_all=True, append_images=pages[1:])
        with pytest.raises(DataError, match=rf"a\.{suffix} has 3 (pages|frames)"):
            read_sem_seg(path)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
    ),
    st.data(),
)
def test_a_label_map_of_any_keys(tmp_path_factory, dtype, data):
    info = np.iinfo(dtype)
    value = st.integers(int(info.min), int(info.max))
    usual = st.sampled_from([v for v in (-9999, -1, 0, 7, 255, 65535, 2**31, 2**32 - 1)
                             if info.min <= v <= info.max])  # fmt: skip
    stored = data.draw(st.lists(value | usual, min_size=1, max_size=6, unique=True))
    other = data.draw(st.integers(-(2**65), 2**65).filter(lambda v: v not in stored))
    classes = data.draw(st.lists(st.integers(-3, 300), min_size=len(stored), max_size=len(stored)))
    label_map = {**dict(zip(stored, classes, strict=True)), other: 255}
    index = np.arange(4 * 5).reshape(4, 5) % len(stored)
    path = tmp_path_factory.getbasetemp() / "label_map.npy"
    np.save(path, np.array(stored, dtype)[index])
    assert np.array_equal(read_sem_seg(path, label_map), np.array(classes)[index])
    del label_map[stored[0]]
    count = int((index == 0).sum())
    with pytest.raises(DataError, match=rf"holds the value {stored[0]} \({count} pixels\), which"):
        read_sem_seg(path, label_map)


def test_large_values_do_not_become_others(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[0, 2**32 - 1]], np.uint32))
    assert read_sem_seg(tmp_path / "a.npy").tolist() == [[0, 2**32 - 1]]
    assert read_stored_labels(tmp_path / "a.npy").dtype == np.uint32


def test_no_data_of_gis(tmp_path):
    labels = LABELS.astype(np.int32)
    labels[0] = -9999
    tags = {"extratags": [(42113, "s", 0, "-9999", True)]}
    write_tiff(tmp_path / "a.tif", labels[..., None], **tags)
    known = {i: i for i in range(4)}
    with pytest.raises(
        DataError, match=r"value -9999 \(8 pixels\) \(-9999 is what the file calls no"
    ):
        read_sem_seg(tmp_path / "a.tif", known)
    assert (read_sem_seg(tmp_path / "a.tif", {**known, -9999: 255})[0] == 255).all()
