"""Images of any number of bands and any type of values, in all containers that they come in."""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from segsuite.data import ImageReader, read_image, read_sem_seg
from segsuite.data.image import read_image_size
from segsuite.data.image_files import check_complete, read_header, read_stored, upright
from segsuite.errors import DataError, MissingPackageError
from tests.image_files import write_png, write_tiff

tifffile = pytest.importorskip("tifffile")


def bands(count, dtype=np.uint16, size=(6, 8)):
    rng = np.random.default_rng(count)
    if np.dtype(dtype).kind == "f":
        return rng.normal(0, 1, (*size, count)).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, (*size, count), dtype=dtype, endpoint=True)


def check_stored(path, expected, **facts):
    pixels, header = read_stored(path)
    assert pixels.dtype == expected.dtype and np.array_equal(pixels, expected)
    assert header == read_header(path)
    assert (header.size, header.bands) == (expected.shape[:2], expected.shape[2])
    assert header.dtype == expected.dtype
    for fact, value in facts.items():
        assert getattr(header, fact) == value
    check_complete(path)


@pytest.mark.parametrize(("color", "count"), [(0, 1), (4, 2), (2, 3), (6, 4)])
def test_png_of_sixteen_bits(tmp_path, color, count):
    path, pixels = tmp_path / "a.png", bands(count)
    write_png(path, pixels, bits=16, color=color)
    check_stored(path, pixels, has_alpha=count in (2, 4))
    expected = (pixels / 257).round().astype(np.uint8)
    shown = expected[..., : count - (count in (2, 4))]
    assert np.array_equal(read_image(path), np.broadcast_to(shown, (6, 8, 3)))
    assert np.array_equal(ImageReader(channels=count).read(path), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32,
                                   np.float64, np.float16, np.int8])  # fmt: skip
@pytest.mark.parametrize("count", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_of_any_type_and_number_of_bands(tmp_path, dtype, count, byteorder):
    path, pixels = tmp_path / "a.tif", bands(count, dtype)
    write_tiff(path, pixels, byteorder=byteorder)
    check_stored(path, pixels, has_alpha=False, format="TIFF")
    assert read_image_size(path) == (6, 8)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize(("count", "dtype"), [(3, np.uint8), (3, np.uint16), (6, np.float32)])
def test_tiff_tiled_planar_and_compressed(tmp_path, compression, planar, tile, count, dtype):
    pytest.importorskip("imagecodecs")
    path, pixels = tmp_path / "a.tif", bands(count, dtype, (40, 24))
    write_tiff(path, pixels, planar=planar, tile=tile, compression=compression)
    check_stored(path, pixels)


def test_tiff_transparency_and_a_fourth_band(tmp_path):
    pixels = bands(4, np.uint8)
    write_tiff(tmp_path / "near_infrared.tif", pixels, extrasamples=[0])
    write_tiff(tmp_path / "alpha.tif", pixels, extrasamples=[2])
    assert np.array_equal(read_image(tmp_path / "near_infrared.tif"), pixels)
    assert np.array_equal(read_image(tmp_path / "alpha.tif"), pixels[..., :3])
    for path in tmp_path.iterdir():
        assert np.array_equal(ImageReader(channels=4).read(path), pixels)
        assert np.array_equal(read_image(path, bands=[3, 0]), pixels[..., [3, 0]])


def test_tiff_orientation_big_tiff_and_no_data(tmp_path):
    path, pixels = tmp_path / "a.tif", bands(5)
    write_tiff(path, pixels, bigtiff=True, extratags=[
        (274, "H", 1, 6, True), (42113, "s", 0, "-9999", True)
    ])  # fmt: skip
    check_stored(path, np.rot90(pixels, 3), no_data=-9999)
    write_tiff(path, pixels[..., :1].astype(np.int32), extratags=[(42113, "s", 0, "-9999", True)])
    assert read_header(path).no_data == -9999


def test_overviews_and_masks_are_no_further_pages(tmp_path):
    path, pixels = tmp_path / "cog.tif", bands(4, size=(64, 64))
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels, photometric="rgb", subifds=0)
        tiff.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
    check_stored(path, pixels)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(pixels[..., 0])
        tiff.write(pixels[::2, ::2, 0], subfiletype=1)
    check_stored(path, pixels[..., :1])


def test_bands_as_pages_of_imagej(tmp_path):
    path, pixels = tmp_path / "a.tif", bands(3)
    tifffile.imwrite(path, pixels.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"})
    check_stored(path, pixels)


@pytest.mark.parametrize("count", [1, 3, 5])
def test_several_pages_are_told(tmp_path, count):
    path, pixels = tmp_path / "stack.tif", bands(count, np.uint8)
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            planar = None if count == 1 else "contig"
            color = "rgb" if count == 3 else "minisblack"
            tiff.write(pixels.squeeze(), photometric=color, planarconfig=planar)
    for read in (read_image, read_header):
        with pytest.raises(DataError, match=r"stack\.tif has 3 pages"):
            read(path)
    frames = [Image.fromarray(bands(3, np.uint8)) for _ in range(2)]
    for suffix in ("gif", "webp"):
        path = tmp_path / f"film.{suffix}"
        frames[0].save(path, save_all=True, append_images=[frames[0].rotate(180)])
        with pytest.raises(DataError, match=rf"film\.{suffix} has 2 frames"):
            read_image(path)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
@pytest.mark.parametrize(
    "dtype", ["u1", "<u2", ">u2", "<i2", ">i4", "<u4", "<i8", "<f2", ">f4", "f8", "?"]
)
def test_arrays_of_any_type(tmp_path, suffix, dtype):
    path = tmp_path / f"a.{suffix}"
    pixels = (np.arange(240).reshape(6, 8, 5) % 100).astype(dtype)
    np.save(path, pixels) if suffix == "npy" else np.savez_compressed(path, pixels)
    check_stored(path, pixels.astype(np.dtype(dtype).newbyteorder("=")), format="NPY")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((6, 8), None), ((6, 8, 1), None), ((1, 6, 8), None), ((6, 8, 4), None), ((4, 6, 8), None),
     ((1, 6, 8, 4), None), ((6, 6, 20), 20), ((20, 6, 6), 20), ((3, 4, 4), None)],
)  # fmt: skip
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_axis_of_the_bands(tmp_path, shape, expected, order):
    path = tmp_path / "a.npy"
    array = np.asarray(np.arange(np.prod(shape), dtype=np.uint8).reshape(shape), order=order)
    np.save(path, array)
    pixels, header = read_stored(path, expected_bands=expected)
    count = expected or {(6, 8, 4): 4, (4, 6, 8): 4, (1, 6, 8, 4): 4, (3, 4, 4): 3}.get(shape, 1)
    assert header.bands == pixels.shape[2] == count
    in_front = array.shape[0] == count and array.ndim == 3
    plain = array.reshape([n for n in shape if n > 1])
    for band in range(count):
        wanted = plain if count == 1 else plain[band] if in_front else plain[..., band]
        assert np.array_equal(pixels[..., band], wanted)


def test_which_array_of_several(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, image=bands(3, np.uint8), label=np.zeros((6, 8), np.uint8))
    assert read_image(path).shape == (6, 8, 3)
    np.savez(path, x=np.zeros((6, 8)), y=np.zeros((6, 8)))
    with pytest.raises(DataError, match=r"a\.npz has 2 arrays \(x, y\); expected one, or one that"):
        read_image(path)


@pytest.mark.parametrize(
    "header",
    [b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000000000), }",
     b"{'descr': __import__('os').system('false'), 'shape': (2, 2)}", b"{'shape': (2,", b"[]"],
)  # fmt: skip
@pytest.mark.parametrize("read", [read_image, read_image_size, read_sem_seg])
def test_headers_that_lie(tmp_path, header, read):
    content = b"\x93NUMPY\x01\x00" + (119).to_bytes(2, "little") + header.ljust(118) + b"\n"
    (tmp_path / "a.npy").write_bytes(content + bytes(100))
    with pytest.raises(DataError, match=r"a\.npy can't be decoded"):
        read(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("arr_0.npy", content + bytes(100))
    with pytest.raises(DataError, match=r"b\.npz(: Image size| can't be decoded)"):
        read(tmp_path / "b.npz")


class Bomb:
    def __reduce__(self):
        return print, ("a pickle was loaded",)


def test_pickles_are_never_loaded(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", np.array([Bomb()], dtype=object), allow_pickle=True)
    for name in ("a.npy", "b.npz"):
        for read in (read_image, read_image_size, check_complete):
            with pytest.raises(DataError, match=rf"{name} holds Python objects, which are not"):
                read(tmp_path / name)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match=r"c\.npy \(\d+ bytes\) is not an image"):
        read_image(tmp_path / "c.npy")
    assert "loaded" not in capsys.readouterr().out


@pytest.mark.parametrize("array", [np.zeros((3, 4), complex), np.array(["a", "b"]),
                                   np.zeros((2, 2), [("x", "u1")])])  # fmt: skip
def test_arrays_of_no_numbers(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy holds values of type"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5), (0, 4), (4, 0, 3)])
def test_arrays_of_no_image(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"a\.npy is an array of shape"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.tif", "a.png"])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_truncated_files_are_named(tmp_path, name, share):
    path, pixels = tmp_path / name, bands(4, np.uint16, (60, 50))
    {
        ".npy": lambda: np.save(path, pixels),
        ".npz": lambda: np.savez(path, pixels),
        ".tif": lambda: write_tiff(path, pixels),
        ".png": lambda: write_png(path, pixels, bits=16, color=6),
    }[path.suffix]()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_image, check_complete):
        with pytest.raises(DataError, match=rf"{name} can't be decoded"):
            read(path)


def test_a_compressed_array_is_not_unpacked_before_its_size_is_known(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", np.zeros((300, 200), np.uint8))
    write_tiff(tmp_path / "a.tif", np.zeros((300, 200, 5), np.uint8), compression="zlib")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    monkeypatch.setattr(zlib, "decompress", lambda *_: pytest.fail("was decoded"))
    for name in ("a.npz", "a.tif"):
        with pytest.raises(DataError, match=rf"{name}: .*60000 pixels.*MAX_IMAGE_PIXELS"):
            read_image(tmp_path / name)


def test_without_tifffile_the_package_is_named(tmp_path, monkeypatch):
    write_tiff(tmp_path / "five.tif", bands(5))
    write_tiff(tmp_path / "one.tif", bands(1))
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    assert read_image(tmp_path / "one.tif").shape == (6, 8, 3)
    with pytest.raises(MissingPackageError, match=r"five\.tif needs .*segsuite-torch\[tiff\]"):
        read_image(tmp_path / "five.tif")


@pytest.mark.parametrize("maximum", [4095, 65535])
def test_pgm_of_more_than_eight_bits(tmp_path, maximum):
    values = np.linspace(0, maximum, 48).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(b"P5 8 6 %d\n" % maximum + values.tobytes())
    grey = read_image(tmp_path / "a.pgm")[..., 0].ravel().astype(float)
    assert np.abs(grey - np.linspace(0, 255, 48)).max() <= 1


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_other_spaces_become_colours(tmp_path, mode):
    drawn = np.zeros((16, 16, 3), np.uint8)
    drawn[:8], drawn[8:, :8] = (250, 10, 10), (240, 240, 240)
    image = Image.fromarray(drawn)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
    elif mode == "CMYK":
        image = image.convert("CMYK")
    # YCbCr is what TIFF has as JPEG.
    image.save(tmp_path / "a.tif", compression="jpeg" if mode == "YCbCr" else None)
    pixels = read_image(tmp_path / "a.tif").astype(int)
    assert np.abs(pixels[2, 2] - drawn[2, 2]).max() < 12
    assert np.abs(pixels[12, 2] - drawn[12, 2]).max() < 12


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "1"])
def test_images_of_pillow_in_any_mode(mode):
    image = Image.new("RGB", (16, 12), (250, 10, 10)).convert(mode)
    assert ImageReader(channels=3).read_any(image).shape == (12, 16, 3)


@pytest.mark.parametrize(
    ("format", "suffix", "options"),
    [("JPEG2000", "jp2", {}), ("WEBP", "webp", {"lossless": True}), ("AVIF", "avif", {}),
     ("GIF", "gif", {}), ("PNG", "jpg", {}), ("JPEG", "png", {}), ("BMP", "bmp", {})],
)  # fmt: skip
def test_any_format_of_pillow_under_any_suffix(tmp_path, format, suffix, options):
    if format not in Image.registered_extensions().values():
        pytest.skip(f"this Pillow has no {format}")
    path = tmp_path / f"A ü.{suffix.upper()}"
    pixels = np.full((20, 24, 3), (200, 60, 30), np.uint8)
    Image.fromarray(pixels).save(path, format, **options)
    assert np.abs(read_image(path).astype(int) - pixels).max() < 12
    assert read_image_size(path) == (20, 24)


def test_transparency_of_a_palette(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image.putpalette([9, 8, 7, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(tmp_path / "a.png")[0].tolist() == [[9, 8, 7], [200, 100, 50]]
    assert read_header(tmp_path / "a.png").bands == 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_is_what_pillow_does(tmp_path, orientation):
    pixels = bands(3, np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), upright(pixels, orientation))


class TestChannels:
    """What a reader makes of the bands for a model."""

    @pytest.fixture
    def tiff(self, tmp_path):
        write_tiff(tmp_path / "five.tif", bands(5, np.uint8))
        return tmp_path / "five.tif"

    def test_bands_in_their_order(self, tiff):
        reader = ImageReader(channels=3, bands=[4, 0, 2])
        assert np.array_equal(reader.read(tiff), bands(5, np.uint8)[..., [4, 0, 2]])
        content = tiff.read_bytes()
        assert np.array_equal(reader.decode(content, "it"), reader.read(tiff))

    def test_another_number_of_bands_is_told(self, tiff):
        for read in (lambda r: r.read(tiff), lambda r: r.check(tiff)):
            with pytest.raises(
                DataError, match=r"five\.tif has 5 channels, but MODEL\.PIXEL_MEAN has 3"
            ):
                read(ImageReader(channels=3))
            with pytest.raises(
                DataError, match=r"five\.tif has 5 bands, 0 to 4; INPUT\.BANDS is \[5\]"
            ):
                read(ImageReader(channels=3, bands=[5]))

    def test_grey_and_colours(self, tmp_path):
        grey, color = bands(1, np.uint8)[..., 0], bands(3, np.uint8)
        Image.fromarray(grey).save(tmp_path / "grey.png")
        Image.fromarray(color).save(tmp_path / "color.png")
        one = ImageReader(channels=1)
        assert np.array_equal(one.read(tmp_path / "grey.png"), grey[..., None])
        with pytest.raises(DataError, match=r"color\.png has 3 channels \(RGB\).*INPUT\.FORMAT L"):
            one.read(tmp_path / "color.png")
        luma = ImageReader(channels=1, format="L")
        assert np.array_equal(luma.read(tmp_path / "grey.png"), grey[..., None])
        expected = color @ [0.299, 0.587, 0.114]
        assert np.abs(luma.read(tmp_path / "color.png")[..., 0] - expected).max() < 1
        for name in ("grey.png", "color.png"):
            luma.check(tmp_path / name)
        assert ImageReader(channels=3).read(tmp_path / "grey.png").shape == (6, 8, 3)

    def test_grey_jpeg_for_one_channel(self, tmp_path):
        Image.fromarray(bands(1, np.uint8)[..., 0]).save(tmp_path / "a.jpg")
        grey = np.asarray(Image.open(tmp_path / "a.jpg"))
        assert np.array_equal(ImageReader(channels=1).read(tmp_path / "a.jpg")[..., 0], grey)

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_arrays(self, dtype):
        array = bands(5, dtype)
        scaled = array if dtype == np.uint8 else (array / 257).round()
        assert np.array_equal(ImageReader(channels=5).read_any(array), scaled)
        chosen = ImageReader(channels=2, bands=[3, 1])
        assert np.array_equal(chosen.read_any(array), scaled[..., [3, 1]])
        # What was read can be given again.
        assert np.array_equal(chosen.read_any(chosen.read_any(array)), scaled[..., [3, 1]])
        assert ImageReader(channels=3).read_any(array[..., 0]).shape == (6, 8, 3)
        with pytest.raises(DataError, match=r"an image of \(6, 8, 5\).*PIXEL_MEAN has 3"):
            ImageReader(channels=3).read_any(array)

    def test_arrays_of_no_known_range(self):
        with pytest.raises(DataError, match=r"\(6, 8, 3\) float32.*INPUT\.VALUE_RANGE"):
            ImageReader(channels=3).read_any(bands(3, np.float32))
        pixels = np.linspace(0, 1, 12, dtype=np.float32).reshape(2, 2, 3)
        read = ImageReader(channels=3, value_range=(0, 1)).read_any(pixels)
        assert np.array_equal(read, (pixels * 255).round())

    @pytest.mark.parametrize(
        "image", [np.zeros((2, 3, 4, 5)), np.zeros((0, 3, 3)), np.array("x"), {}]
    )
    def test_no_image(self, image):
        with pytest.raises(ValueError, match=r"expected \(height, width, bands\)"):
            ImageReader().read_any(image)

    def test_pillow_images_as_files(self):
        assert ImageReader(channels=3).read_any(Image.new("RGBA", (4, 2))).shape == (2, 4, 3)
        assert ImageReader(channels=1).read_any(Image.new("L", (4, 2))).shape == (2, 4, 1)
        deep = Image.fromarray(np.full((2, 4), 65535, np.uint16))
        assert ImageReader().read_any(deep).min() == 255
        with pytest.raises(DataError, match=r"int32 .*INPUT\.VALUE_RANGE"):
            ImageReader().read_any(Image.fromarray(np.zeros((2, 4), np.int32)))

    def test_what_pictures_show(self):
        image = bands(5, np.uint8)
        assert np.array_equal(ImageReader().display(image), image[..., :3])
        assert np.array_equal(ImageReader().display(image[..., :2])[..., 2], image[..., 0])
        chosen = ImageReader(channels=5, display_bands=[4, 2, 0])
        assert np.array_equal(chosen.display(image), image[..., [4, 2, 0]])
        grey = ImageReader(channels=5, display_bands=[4]).display(image)
        assert np.array_equal(grey, np.repeat(image[..., 4:], 3, 2))

    @pytest.mark.parametrize(
        ("options", "key"),
        [({"bands": [-1]}, "BANDS"), ({"bands": [0, 1]}, "BANDS"), ({"bands": [1.5]}, "BANDS"),
         ({"format": "L"}, "FORMAT"), ({"format": "GRB"}, "FORMAT"),
         ({"display_bands": [3]}, "DISPLAY_BANDS"), ({"display_bands": [0, 1]}, "DISPLAY_BANDS"),
         ({"value_range": [1, 0]}, "VALUE_RANGE")],
    )  # fmt: skip
    def test_keys_that_can_not_be(self, options, key):
        with pytest.raises(ValueError, match=rf"INPUT\.{key}"):
            ImageReader(channels=3, **options)


def test_bytes_of_a_pipe(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, bands(3, np.uint8))
    assert np.array_equal(ImageReader().decode(buffer.getvalue(), "x"), bands(3, np.uint8))
    with pytest.raises(DataError, match=r"the \d+ bytes of x are not an image"):
        ImageReader().decode(buffer.getvalue(), "x", formats=("PNG", "TIFF"))
    with pytest.raises(DataError, match=r"x has 8 x 6 pixels"):
        ImageReader().decode(buffer.getvalue(), "x", max_pixels=40)
