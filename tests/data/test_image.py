from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from segsuite.data import read_image
from segsuite.data.image import read_image_size
from segsuite.data.image_files import check_complete
from tests.helpers import SHARED, requires_coco_tiny


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_formats(tmp_path, pixels):
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    assert np.array_equal(read_image(path), pixels)
    assert np.array_equal(read_image(path, "BGR"), pixels[:, :, ::-1])
    with pytest.raises(ValueError, match=r"'GRB' \(INPUT\.FORMAT\): expected one of"):
        read_image(path, "GRB")


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_other_modes_become_three_channels(tmp_path, pixels, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(pixels).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (20, 30, 3) and image.dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, pixels, orientation):
    path = tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(path, exif=exif)
    mirrored = pixels[:, ::-1] if orientation in (2, 4, 5, 7) else pixels
    quarter_turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 3, 7: 3, 8: 1}[orientation]
    expected = np.rot90(mirrored, quarter_turns)
    assert np.array_equal(read_image(path), expected)
    assert read_image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("orientation", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_is_what_pillow_reads(tmp_path, pixels, orientation, subsampling, mode):
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).convert(mode).save(path, exif=exif, subsampling=subsampling)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
    assert np.array_equal(read_image(path), expected)
    assert np.array_equal(read_image(path, "BGR"), expected[:, :, ::-1])


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_file_is_named(tmp_path, pixels, suffix, share):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(np.tile(pixels, (5, 5, 1))).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    for read in (read_image, check_complete):
        with pytest.raises(ValueError, match=rf"{path} can't be decoded: .*cut short or damaged"):
            read(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_complete_files_pass_with_anything_behind_them(tmp_path, pixels, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    check_complete(path)
    with path.open("ab") as file:
        file.write(b"\0" * 7)
    check_complete(path)
    assert read_image(path).shape == pixels.shape


def test_no_image_and_no_file(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=rf"{path} \(16 bytes\) is not an image"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=rf"{path} \(0 bytes\) is not an image"):
        read_image_size(path)
    with pytest.raises(FileNotFoundError, match=rf"no image file {tmp_path}/b\.jpg"):
        read_image(tmp_path / "b.jpg")


@requires_coco_tiny
def test_size_from_the_header_is_that_of_the_pixels():
    for path in sorted((SHARED / "data" / "coco_tiny" / "val2017").glob("*.jpg"))[:8]:
        assert read_image(path).shape[:2] == read_image_size(path)
        assert np.array_equal(read_image(path), np.asarray(Image.open(path).convert("RGB")))


def test_suspiciously_large(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (30, 10)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"a\.png: .*300 pixels.*MAX_IMAGE_PIXELS"):
        read_image_size(path)
