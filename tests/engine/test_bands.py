"""Images of other bands than colours through training, prediction and pictures."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segsuite.config import load_config
from segsuite.data import DatasetCatalog, DatasetMapper, get_records, register_from_config
from segsuite.data.image import channel_order
from segsuite.engine import train
from segsuite.errors import ConfigError, DataError
from segsuite.predict import Predictor
from segsuite.predict.default_predictor import DefaultPredictor
from segsuite.predict.predict_files import find_inputs, predict_files
from segsuite.predict.serve import answer
from segsuite.structures import sem_seg_labels
from segsuite.visualization.data import draw_record, draw_sample
from tests.image_files import write_tiff

pytest.importorskip("tifffile")
CONFIG = """
DATASETS:
  REGISTER:
    {name}:
      IMAGES: images
      LABELS: labels
      CLASSES: {{1: roof, 0: ground}}
      LABEL_MAP: {{-9999: 255, 0: 0, 7: 1}}
  TRAIN: [{name}]
  TEST: [{name}]
MODEL:
  DEVICE: cpu
  PIXEL_MEAN: {mean}
  PIXEL_STD: {std}
  BACKBONE: {{NAME: build_unet_backbone, FREEZE_AT: 0}}
  UNET: {{CHANNELS: [4, 8], NORM: GN}}
  SEM_SEG_HEAD:
    {{NAME: UNetHead, IN_FEATURES: [enc1, enc2], DECODER_CHANNELS: [4], NUM_CLASSES: 2, NORM: GN}}
INPUT:
  MIN_SIZE_TRAIN: [32]
  MIN_SIZE_TEST: 32
  RANDOM_SCALE: [0.6, 1.5]
  CROP: {{ENABLED: True, TYPE: absolute, SIZE: [40, 40]}}
  COLOR_JITTER: {{BRIGHTNESS: 0.3, CONTRAST: 0.3}}
  {keys}
DATALOADER: {{NUM_WORKERS: 0}}
SOLVER: {{IMS_PER_BATCH: 2, MAX_ITER: 2, BASE_LR: 0.01}}
TEST: {{EXAMPLES: 1, REPORT: True, BEST_METRIC: ""}}
LOG: {{TENSORBOARD: False}}
"""
KINDS = {
    # name: bands of the files, type, largest value, channels of the model, keys of INPUT
    "infrared": (5, np.uint16, 4000, 4, "VALUE_RANGE: [0, 4000]\n  BANDS: [3, 0, 2, 4]"),
    "float": (2, np.float32, 0.3, 2, "VALUE_RANGE: [1%, 99%]\n  DISPLAY_BANDS: [1]"),
    "grey": (1, np.uint16, 60000, 1, "FORMAT: RGB"),
    "colors": (3, np.uint16, 60000, 3, "FORMAT: BGR"),
    "luma": (3, np.uint8, 250, 1, "FORMAT: L"),
}


@functools.cache
def run(kind):
    """A run of two steps; its data are beside it."""
    bands, dtype, high, channels, keys = KINDS[kind]
    folder = Path(tempfile.mkdtemp(prefix=f"segsuite_{kind}_"))
    for name in ("images", "labels"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        labels = np.zeros((36, 44), np.int32)
        labels[8 : 20 + i, 10:30] = 7
        labels[:2] = -9999
        pixels = rng.random((36, 44, bands)) * 0.4 * high + (labels == 7)[..., None] * 0.6 * high
        write_tiff(folder / "images" / f"{i}.tif", pixels.astype(dtype))
        Image.fromarray(labels).save(folder / "labels" / f"{i}.tif")
    mean, std = [100 + i for i in range(channels)], [50] * channels
    name = f"test_bands_{kind}"
    text = CONFIG.format(name=name, mean=mean, std=std, keys=keys)
    (folder / "c.yaml").write_text(text)
    train(load_config(folder / "c.yaml", ["OUTPUT_DIR", str(folder / "out")]))
    return folder


@pytest.fixture(params=KINDS)
def folder(request):
    return run(request.param)


@pytest.fixture(scope="module", autouse=True)
def _remove():
    yield
    for kind in KINDS:
        shutil.rmtree(run(kind))
        DatasetCatalog.remove(f"test_bands_{kind}")


def stored(folder, i=0):
    import tifffile

    pixels = tifffile.imread(folder / "images" / f"{i}.tif")
    return pixels if pixels.ndim == 3 else pixels[..., None]


def test_training_evaluates_and_keeps_examples(folder):
    (files,) = (folder / "out").glob("evaluation/*/examples/examples.json")
    assert json.loads(files.read_text())["examples"]
    assert (folder / "out" / "report.html").exists()


def test_files_arrays_and_bytes_give_the_same(folder):
    predict = Predictor(folder / "out")
    file = folder / "images" / "0.tif"
    by_file = predict(file)
    assert by_file.image.shape == (36, 44, 3) and by_file.image.dtype == np.uint8
    assert by_file.labels.shape == (36, 44)
    by_array = predict(stored(folder))
    for other in (by_array, predict(predict.reader.read(file))):
        assert np.array_equal(other.labels, by_file.labels)
        assert np.array_equal(other.image, by_file.image)
    served = answer(predict, file, 1 << 20, reader=predict.reader)
    assert np.array_equal(served.image, by_file.image)


def test_samples_have_the_channels_of_the_model(folder):
    cfg = load_config(folder / "c.yaml")
    register_from_config(cfg)
    (record, *_) = get_records(cfg.DATASETS.TRAIN)
    sample = DatasetMapper(cfg, is_train=True)(record, np.random.default_rng(1))
    channels = len(cfg.MODEL.PIXEL_MEAN)
    assert sample["image"].shape == (channels, 40, 40) and sample["image"].numpy().dtype == np.uint8
    assert set(np.unique(sample["sem_seg"])) <= {0, 1, 255}
    whole = DatasetMapper(cfg, is_train=False)(record)["image"]
    assert whole.shape == (channels, 32, 39)
    predictor = Predictor(folder / "out")
    metadata = predictor.metadata
    picture = draw_sample(sample, metadata, channel_order(cfg), reader=predictor.reader)
    assert picture.shape == (40, 40, 3)
    assert draw_record(record, metadata, reader=predictor.reader).shape == (36, 44, 3)


def test_order_of_the_channels():
    cfg = load_config(run("infrared") / "c.yaml", ["INPUT.MIN_SIZE_TEST", "0"])
    (record, *_) = get_records(cfg.DATASETS.TRAIN)
    image = DatasetMapper(cfg, is_train=False)(record)["image"].numpy()
    bands = stored(run("infrared")).astype(float)[..., [3, 0, 2, 4]]
    assert np.abs(image.transpose(1, 2, 0) - (bands / 4000 * 255)).max() <= 0.5
    cfg = load_config(run("colors") / "c.yaml", ["INPUT.MIN_SIZE_TEST", "0"])
    (record, *_) = get_records(cfg.DATASETS.TRAIN)
    image = DatasetMapper(cfg, is_train=False)(record)["image"].numpy()
    colors = (stored(run("colors")) / 257).round()
    assert np.array_equal(image.transpose(1, 2, 0), colors[..., ::-1])


def test_pictures_show_the_chosen_bands():
    predict = Predictor(run("float") / "out")
    prediction = predict(run("float") / "images" / "0.tif")
    read = predict.reader.read(run("float") / "images" / "0.tif")
    assert np.array_equal(prediction.image, np.repeat(read[..., 1:], 3, 2))
    predict = Predictor(run("infrared") / "out", ["INPUT.DISPLAY_BANDS", "[3, 2, 1]"])
    file = run("infrared") / "images" / "0.tif"
    assert np.array_equal(predict(file).image, predict.reader.read(file)[..., [3, 2, 1]])


def test_a_folder_with_another_image_in_it(tmp_path):
    shutil.copytree(run("infrared") / "images", tmp_path / "in")
    Image.new("RGB", (40, 30)).save(tmp_path / "in" / "other.png")
    predictor = Predictor(run("infrared") / "out")
    (failure,) = predict_files(predictor, find_inputs([str(tmp_path / "in")]), tmp_path / "out")
    assert "other.png has 3 bands, 0 to 2; INPUT.BANDS is [3, 0, 2, 4]" in failure
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 3


def test_detectron2s_predictor_takes_bgr():
    cfg = load_config(run("colors") / "c.yaml", ["OUTPUT_DIR", str(run("colors") / "out")])
    predict = DefaultPredictor(cfg)
    rgb = Predictor(run("colors") / "out").reader.read(run("colors") / "images" / "0.tif")
    expected = Predictor(run("colors") / "out")(rgb).labels
    found = sem_seg_labels(predict(np.ascontiguousarray(rgb[..., ::-1]))["sem_seg"])
    assert np.array_equal(found.numpy(), expected)


def test_colours_that_other_bands_do_not_have():
    cfg = load_config(run("infrared") / "c.yaml", ["INPUT.COLOR_JITTER.HUE", "0.1"])
    with pytest.raises(ConfigError, match=r"COLOR_JITTER has HUE 0\.1, but the model's 4 channels"):
        DatasetMapper(cfg, is_train=True)
    cfg = load_config(run("grey") / "c.yaml", ["INPUT.COLOR_JITTER.SATURATION", "0.5"])
    (record, *_) = get_records(cfg.DATASETS.TRAIN)
    assert DatasetMapper(cfg, is_train=True)(record)["image"].shape == (1, 40, 40)


def test_the_undecided_range_of_a_run_is_told_before_anything_is_written(tmp_path):
    options = ["INPUT.VALUE_RANGE", "()", "OUTPUT_DIR", str(tmp_path / "out")]
    with pytest.raises(DataError, match=r"0\.tif has values of type float32.*INPUT\.VALUE_RANGE"):
        train(load_config(run("float") / "c.yaml", options))
    assert not (tmp_path / "out").exists()
