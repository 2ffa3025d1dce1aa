import json
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from segsuite.cli import main
from segsuite.config import load_config
from segsuite.data.image import ImageReader
from segsuite.data.scene import Scene
from segsuite.errors import ConfigError, DataError, MissingFileError
from segsuite.modeling.inference import SlidingWindow
from segsuite.predict import Predictor
from segsuite.structures import Boxes, Instances, ROIMasks

rasterio = pytest.importorskip("rasterio")
UTM = "EPSG:32633"
PLACE = rasterio.transform.from_origin(400_000, 5_700_000, 0.5, 0.5)  # half a metre a pixel


@pytest.fixture
def write(tmp_path):
    """Write a GeoTIFF of (bands, H, W)."""

    def write(pixels, name="scene.tif", crs=UTM, **keys):
        profile = {
            "driver": "GTiff",
            "count": pixels.shape[0],
            "height": pixels.shape[1],
            "width": pixels.shape[2],
            "dtype": pixels.dtype,
            "crs": crs,
            "transform": PLACE if crs else None,
            **keys,
        }
        with rasterio.open(tmp_path / name, "w", **profile) as file:
            file.write(pixels)
        return tmp_path / name

    return write


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a semantic model and of a detector that are not trained."""
    from segsuite.modeling import build_model

    folder = tmp_path_factory.mktemp("weights")
    files = {}
    for name in ("unet_shapes", "mask_rcnn_shapes"):
        cfg = load_config(f"smoke/{name}", ["MODEL.DEVICE", "cpu"])
        torch.manual_seed(0)
        files[name] = folder / f"{name}.pth"
        torch.save({"model": build_model(cfg).state_dict()}, files[name])
    return files


@pytest.fixture
def predictor(weights):
    def predictor(name, *words):
        words = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", str(weights[name]), *words]
        words += ["TEST.SLIDING_WINDOW.SIZE", [64, 64]]
        return Predictor.from_config(load_config(f"smoke/{name}", words))

    return predictor


class Squares(torch.nn.Module):
    """Finds what is white, as one object, whose score is the share that it has of the tile."""

    def forward(self, records):
        return [{"instances": self.find(record["image"])} for record in records]

    def find(self, image):
        white = (image > 200).all(0)
        size = tuple(white.shape)
        if not white.any():
            boxes = torch.zeros(0, 4)
        else:
            rows, columns = white.any(1).nonzero()[:, 0], white.any(0).nonzero()[:, 0]
            boxes = torch.tensor([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]).float()
        return Instances(
            size,
            pred_boxes=Boxes(boxes),
            scores=torch.full((len(boxes),), 0.9),
            pred_classes=torch.ones(len(boxes), dtype=torch.int64),
            pred_masks=ROIMasks(torch.ones(len(boxes), 7, 7), boxes, size),
        )


def random_pixels(size=(120, 170), bands=3, dtype=np.uint8):
    rng = np.random.default_rng(0)
    low = rng.integers(0, 255, (bands, size[0] // 20 + 1, size[1] // 20 + 1))
    return np.kron(low, np.ones((20, 20)))[:, : size[0], : size[1]].astype(dtype)


def test_labels_are_those_of_windows_in_memory(write, predictor, tmp_path):
    pixels = random_pixels()
    model = predictor("unet_shapes")
    files = model.predict_scene(write(pixels), tmp_path / "out")
    assert [f.relative_to(tmp_path / "out").as_posix() for f in files] == [
        "scene.jpg",
        "labels/scene.tif",
    ]
    image = torch.from_numpy(pixels if model.cfg.INPUT.FORMAT == "RGB" else pixels[::-1].copy())
    windows = SlidingWindow(model.model, window_size=(64, 64), overlap=0.25)
    with torch.inference_mode():
        expected = windows([{"image": image}])[0]["sem_seg"].labels().numpy()
    with rasterio.open(files[1]) as written:
        assert written.crs == UTM and written.transform == PLACE and written.nodata == 255
        labels = written.read(1)
        names = [written.tags(1)[f"CLASS_{i}"] for i in range(6)]
        assert written.colormap(1)[1][:3] == tuple(model.metadata.stuff_colors[1])
    assert names == list(model.metadata.stuff_classes)
    assert (labels == expected).mean() > 0.9999  # ties of rounding
    assert Image.open(files[0]).size == (170, 120)


def test_pixels_without_data_have_no_label(write, predictor, tmp_path):
    pixels = random_pixels()
    pixels[:, 50:, 30:80] = 0
    pixels[:, :50] = pixels[:, :50].clip(1)
    file = write(pixels, nodata=0)
    files = predictor("unet_shapes").predict_scene(file, tmp_path / "out", geojson="file")
    with rasterio.open(files[1]) as written:
        labels = written.read(1)
    assert (labels[50:, 30:80] == 255).all() and (labels[:50] != 255).all()
    content = json.loads(files[2].read_text())
    assert content["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    area = sum(shoelace(ring) for f in content["features"] for ring in f["geometry"]["coordinates"])
    # Outer rings are counterclockwise, holes are not: areas add up to the pixels with data.
    assert area == pytest.approx(0.25 * (labels != 255).sum())
    assert {f["properties"]["class"] for f in content["features"]} <= set(
        predictor("unet_shapes").metadata.stuff_classes
    )


def shoelace(ring):
    x, y = np.array(ring[:-1]).T
    x, y = x - x[0], y - y[0]
    return 0.5 * float(x @ np.roll(y, -1) - np.roll(x, -1) @ y)


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_objects_have_ids_and_outlines(write, predictor, tmp_path, scale):
    pixels = np.zeros((3, 200, 260), np.uint8)
    pixels[:, 20:50, 30:40] = 255
    pixels[:, 100:160, 90:240] = 255  # over several tiles
    model = predictor("mask_rcnn_shapes", "MODEL.ROI_HEADS.NUM_CLASSES", 5)
    model.model.forward = Squares().forward
    out = tmp_path / "out"
    files = model.predict_scene(write(pixels), out, geojson="rfc7946", scale=scale)
    with rasterio.open(files[1]) as written:
        assert written.crs == UTM and written.transform == PLACE
        ids = written.read(1)
    assert ids.dtype == np.uint32 and sorted(np.unique(ids)) == [0, 1, 2]
    found = ids > 0
    assert (found & (pixels[0] > 0)).sum() / (found | (pixels[0] > 0)).sum() > 0.97
    content = json.loads(files[2].read_text())
    assert "crs" not in content
    first = content["features"][0]
    assert first["properties"]["class"] == model.metadata.thing_classes[1]
    number = first["properties"]["id"]
    (ring,) = first["geometry"]["coordinates"]
    assert shoelace(ring) > 0 and ring[0] == ring[-1]
    rows, columns = np.nonzero(ids == number)
    x = PLACE.c + PLACE.a * np.array([columns.min(), columns.max() + 1])
    y = PLACE.f + PLACE.e * np.array([rows.min(), rows.max() + 1])
    longitude, latitude = rasterio.warp.transform(UTM, "EPSG:4326", x, y)
    ring = np.array(ring)
    assert np.allclose([ring[:, 0].min(), ring[:, 0].max()], longitude, atol=1e-5)
    assert np.allclose([ring[:, 1].max(), ring[:, 1].min()], latitude, atol=1e-5)


def test_a_large_scene_is_never_whole_in_memory(write, predictor, tmp_path):
    size = (3000, 8000)
    pixels = np.zeros((3, *size), np.uint8)
    pixels[:, ::7] = 90
    file = write(pixels, tiled=True, blockxsize=256, blockysize=256, compress="deflate")
    del pixels
    model = predictor("mask_rcnn_shapes")
    model.cfg.defrost()
    model.cfg.TEST.SLIDING_WINDOW.SIZE = [640, 640]
    model.model.forward = Squares().forward
    tracemalloc.start()
    model.predict_scene(file, tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The overview (2000 x 750 pixels, several copies) and a row of blocks, not 72 MB of pixels.
    assert peak < 36e6


class TestScene:
    def read(self, file, **keys):
        return Scene(file, ImageReader(channels=3, **keys))

    def test_windows_are_the_file(self, write):
        pixels = random_pixels(bands=5, dtype=np.uint16)
        with self.read(write(pixels), bands=[3, 0, 4], value_range=[0, 255]) as scene:
            assert scene.shape == (3, 120, 170)
            window = scene[:, 30:90, 100:400].numpy()
        assert (window == pixels[[3, 0, 4], 30:90, 100:170]).all()

    def test_grey_palette_and_transparency(self, write):
        grey = random_pixels(bands=1)
        with self.read(write(grey)) as scene:
            assert (scene[:, :, :].numpy() == grey).all()
        with rasterio.open(write(grey), "r+") as file:
            file.write_colormap(1, {i: (i, 255 - i, 7, 255) for i in range(256)})
        with self.read(write(grey)) as scene:
            assert scene.shape[0] == 3
        rgba = random_pixels(bands=4)
        with self.read(write(rgba, photometric="RGB", alpha="YES")) as scene:
            assert (scene[:, 5:9, 5:9].numpy() == rgba[:3, 5:9, 5:9]).all()

    def test_what_it_must_not_be(self, write, tmp_path):
        (tmp_path / "a.tif").write_bytes(b"II*\0nothing")
        with pytest.raises(DataError, match=r"a\.tif is no GeoTIFF"):
            self.read(tmp_path / "a.tif")
        with pytest.raises(MissingFileError, match=r"no file .*b\.tif"):
            self.read(tmp_path / "b.tif")
        file = write(random_pixels())
        with pytest.raises(ConfigError, match="percentiles, which differ from window to window"):
            self.read(file, value_range=["2%", "98%"])
        with pytest.raises(DataError, match=r"scene\.tif has 5 channels"):
            self.read(write(random_pixels(bands=5)))


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_scenes_on_the_command_line(write, weights, tmp_path, capsys):
    write(random_pixels(size=(90, 120)))
    write(random_pixels(size=(90, 120)), "nowhere.tif", crs=None)
    Image.fromarray(random_pixels(size=(90, 120)).transpose(1, 2, 0)).save(tmp_path / "a.png")
    words = ["--config-file", "smoke/unet_shapes", "--geojson", "--output", str(tmp_path / "out")]
    inputs = ["--input", *(str(tmp_path / n) for n in ("scene.tif", "nowhere.tif", "a.png"))]
    keys = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", str(weights["unet_shapes"])]
    with pytest.raises(SystemExit) as ended:
        main(["predict", *words, *inputs, *keys])
    assert ended.value.code == 1
    assert "nowhere.tif has no coordinate reference system" in capsys.readouterr().err
    written = sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.glob("out/**/*.*")
    )
    assert written == [
        "a.jpg",
        "labels/a.png",
        "labels/scene.tif",
        "scene.geojson",
        "scene.jpg",
    ]


def test_what_can_not_be_predicted(write, predictor, tmp_path):
    file = write(random_pixels(size=(70, 70)))
    with pytest.raises(ConfigError, match=r"TEST\.AUG\.ENABLED to False"):
        predictor("unet_shapes", "TEST.AUG.ENABLED", True).predict_scene(file, tmp_path / "out")
    with pytest.raises(ConfigError, match="scale of a scene is 0; expected a number above 0"):
        predictor("unet_shapes").predict_scene(file, tmp_path / "out", scale=0)
    with pytest.raises(ConfigError, match="--geojson is 'utm'; expected rfc7946 or file"):
        predictor("unet_shapes").predict_scene(file, tmp_path / "out", geojson="utm")
