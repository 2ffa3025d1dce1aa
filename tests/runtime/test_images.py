"""Images get to the graph, and into pictures, exactly as by segsuite's readers and mappers."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segsuite.data import ImageReader, InferenceMapper
from segsuite.data.transforms import ResizeShortestEdge
from segsuite.errors import DataError, MissingFileError, MissingPackageError
from segsuite.runtime.images import (
    read_image,
    resize_bilinear,
    resized_size,
    shown,
    to_grey,
    to_planes,
)

from .toys import metadata

sides = st.integers(1, 60)


def noise(height, width, bands=3, seed=0):
    shape = (height, width, bands)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def facts(channels=3, **others):
    values = {"in_channels": channels, "mean": [0.0] * channels, "std": [1.0] * channels}
    return metadata(**{**values, **others})


@given(sides, sides, st.integers(1, 50), st.integers(1, 70), st.integers(1, 5))
def test_planes_are_those_of_the_mapper(height, width, short, longest, bands):
    image = noise(height, width, bands)
    described = facts(
        bands,
        pixel_format="BGR" if bands == 3 else "bands",
        resize={"min_size": short, "max_size": longest},
    )
    mapper = InferenceMapper(
        augmentations=ResizeShortestEdge((short,), longest),
        image_format="BGR" if bands == 3 else "RGB",
    )
    size = resized_size((height, width), described)
    planes = to_planes(resize_bilinear(image, size), described)
    assert torch.equal(torch.from_numpy(planes), mapper(image)["image"])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
@pytest.mark.parametrize("kind", ["RGB", "L"])
def test_files_are_read_as_by_the_reader(tmp_path, mode, kind):
    picture = Image.fromarray(noise(9, 14)).convert(mode)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    channels = 1 if kind == "L" else 3
    expected = ImageReader(channels=channels, format=kind)
    described = facts(channels, pixel_format=kind)
    image = read_image(path, described)
    assert np.array_equal(image, expected.read(path))
    assert np.array_equal(shown(image, described), expected.display(image))


def test_orientation_and_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(20, 30)).save(path, exif=exif, quality=90)
    image = read_image(path, facts())
    assert image.shape == (30, 20, 3) and np.array_equal(image, ImageReader().read(path))


def test_bands(tmp_path):
    pixels, path = noise(6, 7, 4), tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    chosen = facts(2, pixel_format="bands", bands=[3, 0], display_bands=[1])
    image = read_image(path, chosen)
    assert np.array_equal(image, pixels[..., [3, 0]])
    assert np.array_equal(shown(image, chosen), pixels[..., [0, 0, 0]])
    assert np.array_equal(read_image(path, facts(4, pixel_format="bands")), pixels)


def test_arrays_and_pillow_images():
    pixels = noise(6, 7)
    assert np.array_equal(read_image(pixels, facts()), pixels)
    assert np.array_equal(read_image(Image.fromarray(pixels), facts()), pixels)
    grey = read_image(pixels[..., 0], facts())
    assert np.array_equal(grey, np.repeat(pixels[..., :1], 3, axis=2))
    assert np.array_equal(read_image(pixels, facts(1, pixel_format="L")), to_grey(pixels))


@pytest.mark.parametrize(
    "image, message",
    [
        (noise(3, 4, 5), "5 channels, but the model takes 3"),
        (noise(3, 4).astype(np.float32), "float32.*no range.*export the run again"),
        (noise(3, 4).astype(str), "expected .* of numbers"),
        (noise(3, 4)[None], r"\(1, 3, 4, 3\) uint8: expected"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        ([[1]], "a list is no image"),
        (Image.fromarray(np.zeros((3, 4), np.int32)), "int32.*no range.*export the run again"),
    ],
)
def test_what_is_no_image_for_it(image, message):
    with pytest.raises(DataError, match=message):
        read_image(image, facts())


def test_files_that_are_none(tmp_path):
    with pytest.raises(MissingFileError, match="no image file"):
        read_image(tmp_path / "none.jpg", facts())
    (tmp_path / "text.jpg").write_text("text")
    with pytest.raises(DataError, match=r"text\.jpg is no image"):
        read_image(tmp_path / "text.jpg", facts())
    Image.fromarray(noise(40, 40)).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.png is no image"):
        read_image(tmp_path / "cut.png", facts())


def test_bands_that_are_not_there():
    with pytest.raises(DataError, match=r"4 bands, 0 to 3; the model takes the bands \[7\]"):
        read_image(noise(3, 3, 4), facts(1, pixel_format="bands", bands=[7]))


def deep(bands, dtype=np.uint16):
    values = np.random.default_rng(1).integers(0, 5000, (9, 14, bands))
    return np.squeeze(values.astype(dtype), 2) if bands == 1 else values.astype(dtype)


def write_deep_png(path, bands):
    exif = Image.Exif()
    exif[0x0112] = 6
    if bands == 1:
        Image.fromarray(deep(1)).save(path, exif=exif)
    else:
        cv2.imwrite(str(path), deep(bands))


RANGES = [[], ["full"], [0, 4095], ["2%", "98%"]]


@pytest.mark.parametrize("limits", RANGES)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pngs_of_16_bits_are_read_by_the_range_of_training(tmp_path, bands, limits):
    path = tmp_path / "deep.png"
    write_deep_png(path, bands)
    expected = ImageReader(channels=3, value_range=limits).read(path)
    image = read_image(path, facts(value_range=limits))
    assert image.dtype == np.uint8 and np.array_equal(image, expected)


@pytest.mark.parametrize("limits", RANGES)
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float32])
def test_tiffs_and_arrays_of_any_type_are_read_by_the_range_of_training(tmp_path, dtype, limits):
    pixels, path = deep(1, dtype), tmp_path / "deep.tif"
    pytest.importorskip("tifffile").imwrite(path, pixels)
    reader = ImageReader(channels=1, format="L", value_range=limits)
    described = facts(1, pixel_format="L", value_range=limits)
    try:
        expected = reader.read(path)
    except DataError:  # no range is known
        for source in (path, pixels):
            with pytest.raises(DataError, match=r"no range.*export the run again"):
                read_image(source, described)
        return
    for source in (path, pixels, pixels.astype(pixels.dtype.newbyteorder(">"))):
        assert np.array_equal(read_image(source, described), expected)


def test_a_pair_for_each_band_is_of_the_bands_that_are_chosen():
    pixels = deep(4)
    options = {"bands": [3, 0], "value_range": [[0, 1000], [500, 4000]]}
    expected = ImageReader(channels=2, **options).read_any(pixels)
    described = facts(2, pixel_format="bands", **options)
    assert np.array_equal(read_image(pixels, described), expected)
    # What has been chosen already has its range still to come.
    assert np.array_equal(read_image(pixels[..., [3, 0]], described), expected)


def test_deep_files_are_never_cut_to_8_bits(tmp_path, monkeypatch):
    path = tmp_path / "deep.png"
    write_deep_png(path, 3)
    with Image.open(path) as picture, pytest.raises(DataError, match="more than 8 bits"):
        read_image(picture, facts())
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingPackageError, match=r"deep\.png.*opencv-python-headless"):
        read_image(path, facts())
    path.write_bytes(path.read_bytes()[:300])
    monkeypatch.undo()
    with pytest.raises(DataError, match=r"deep\.png.*damaged"):
        read_image(path, facts())
    path = tmp_path / "deep.tif"
    pytest.importorskip("tifffile").imwrite(path, deep(3), photometric="rgb")
    with pytest.raises(DataError, match=r"deep\.tif.*array"):
        read_image(path, facts())
